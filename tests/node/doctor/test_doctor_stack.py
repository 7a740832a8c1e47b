"""What the doctor says of PyTorch, the model, the encoder and the way to the farm."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from node_agent.doctor import gather
from node_agent.doctor.reach import network
from node_agent.doctor.stack import (
    EncoderFacts,
    TorchFacts,
    check_encoder,
    check_model,
    check_network,
    check_torch,
)
from node_agent.models import write_manifest


def state(finding) -> str:
    return finding.state.value


class TestTorch:
    CPU = TorchFacts(version="2.13.0+cpu")
    CUDA = TorchFacts(version="2.13.0", cuda_build="13.0", devices=("one", "two"))
    BROKEN = TorchFacts(version="2.13.0", cuda_build="13.0", problem="RuntimeError: no driver")

    @pytest.mark.parametrize(
        ("facts", "cards", "expected", "word"),
        [
            (CPU, 0, "good", ""),
            (CPU, 1, "bad", "make install LOCK=cuda"),
            (CUDA, 2, "good", "2 of 2"),
            (CUDA, 3, "warning", "CUDA_VISIBLE_DEVICES"),
            (BROKEN, 1, "bad", "no driver"),
            (TorchFacts(version="2.13.0", cuda_build="13.0"), 1, "bad", "sees no card"),
            (TorchFacts(problem="ImportError: libcudart"), 0, "bad", "libcudart"),
            (None, 1, "unknown", "restart"),
        ],
    )
    def test_can_use_the_cards(self, facts, cards, expected, word) -> None:
        found = check_torch(facts, cards)
        assert state(found) == expected
        assert word in found.what + found.remedy

    def test_it_is_asked_in_a_process_of_its_own_and_not_waited_for_for_ever(self) -> None:
        facts = gather.torch()
        assert facts is not None
        assert facts.version
        assert gather.torch(seconds_max=0.01) is None


class TestModel:
    @pytest.fixture
    def model(self, tmp_path: Path) -> Path:
        directory = tmp_path / "model"
        (directory / "transformer").mkdir(parents=True)
        index = {"_class_name": "HeliosPyramidPipeline", "is_distilled": True}
        shape = ("num_layers", "num_attention_heads", "attention_head_dim", "ffn_dim", "text_dim")
        (directory / "model_index.json").write_text(json.dumps(index))
        (directory / "transformer/config.json").write_text(json.dumps(dict.fromkeys(shape, 1)))
        (directory / "scheduler").mkdir()
        (directory / "scheduler/scheduler_config.json").write_text("{}")
        write_manifest(directory, name="paper", revision="r")
        return directory

    def test_intact(self, model: Path, tmp_path: Path) -> None:
        found = check_model(gather.model(model, tmp_path / "stamps.json"))
        assert state(found) == "good"
        assert "paper" in found.what

    def test_damaged_or_missing(self, model: Path) -> None:
        (model / "scheduler/scheduler_config.json").write_text("{ }")
        (model / "extra.json").write_text("{}")
        found = check_model(gather.model(model, None))
        assert state(found) == "bad"
        assert "scheduler_config.json" in found.what
        assert "extra.json" in found.what
        assert state(check_model(gather.model(model / "none", None))) == "bad"

    def test_not_named(self) -> None:
        assert state(check_model(None)) == "unknown"


def test_the_encoder_encodes_a_chunk_for_real() -> None:
    found = check_encoder(gather.encoder())
    assert state(found) == "good"
    assert state(check_encoder(EncoderFacts(problem="no libx264"))) == "bad"
    assert check_encoder(EncoderFacts(encoder="libopenh264")).what.startswith("libopenh264: ")
    assert state(check_encoder(None)) == "unknown"


class TestNetwork:
    @pytest.fixture
    def gateway(self) -> Iterator[tuple[str, health.HealthServicer]]:
        server = grpc.server(ThreadPoolExecutor(2))
        servicer = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        yield f"127.0.0.1:{port}", servicer
        server.stop(0).wait()

    def test_a_gateway_that_serves_and_one_that_does_not_now(self, gateway) -> None:
        endpoint, servicer = gateway
        servicer.set("", health_pb2.HealthCheckResponse.SERVING)
        assert state(check_network(network(endpoint))) == "good"
        servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        assert state(check_network(network(endpoint))) == "warning"

    def test_nobody_listens(self) -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
            found = check_network(network(f"127.0.0.1:{taken.getsockname()[1]}"))
        assert state(found) == "bad"
        assert "refused" in found.what

    def test_something_else_listens(self, gateway) -> None:
        endpoint, _ = gateway
        found = check_network(network(f"https://{endpoint}"))
        assert state(found) == "bad"
        assert "--ca" in found.remedy

    def test_not_named_and_no_endpoint(self) -> None:
        assert state(check_network(None)) == "unknown"
        with pytest.raises(ValueError, match="HOST:PORT"):
            network("farm.example")
