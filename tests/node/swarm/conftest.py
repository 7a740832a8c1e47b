"""Nodes of one process: each with a models directory, a server of its own, and the farm's part
played by the test."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from heliostat.swarm.picker import Limits
from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.models import load_manifest, write_manifest
from node_agent.models.serve import shelf
from node_agent.models.stamps import STAMPS_NAME
from node_agent.models.swarm.settings import SupplySettings
from node_agent.models.swarm.supply import ModelSupply
from tests.fixtures.model_source import CountingServer, serving
from tests.fixtures.paper_model import build_paper_model

QUICK = Limits(
    stumble_seconds=0.05, busy_seconds=0.05, poll_seconds=0.1, late_seconds_min=0.5, lost_seconds=3
)


class Rack:
    """Nodes by name, and what the farm would offer them."""

    def __init__(self, root: Path, model: Path, source: CountingServer) -> None:
        self.root, self.model, self.source = root, model, source
        self.digest = load_manifest(model).digest
        self.size = load_manifest(model).size
        self.nodes: dict[str, ModelSupply] = {}
        self.pieces_sha256 = ""

    def add(self, name: str, *, folder: str = "", upload_mbit: float = 0.0) -> ModelSupply:
        """An agent of a node, or of another whose `folder` it shares."""
        stamps = self.root / (folder or name) / STAMPS_NAME
        settings = SupplySettings(node=name, stamps=stamps, upload_mbit=upload_mbit, limits=QUICK)
        self.nodes[name] = ModelSupply(settings, lambda: None)
        return self.nodes[name]

    def offer(self, *, seeds: bool = False) -> node_pb.ModelOffer:
        return node_pb.ModelOffer(
            digest=self.digest,
            name="model",
            source=f"{self.source.url}/model",
            token="t",
            pieces_sha256=self.pieces_sha256,
            seeds=seeds,
            nodes=self.nodes,
            neighbours=[
                node_pb.Neighbour(node=name, url=held.url, certificate=held.certificate)
                for name, node in self.nodes.items()
                if (held := node.holding()) is not None and held.url
            ],
        )

    def tell(self, *seeds: str) -> None:
        """An exchange of every node."""
        for name, node in self.nodes.items():
            node.heed(self.offer(seeds=name in seeds))

    def wait(self, what: Callable[[], bool], seconds: float = 60.0, *seeds: str) -> None:
        until = time.monotonic() + seconds
        while not what():
            held = {name: node.holding() for name, node in self.nodes.items()}
            assert time.monotonic() < until, held
            self.tell(*seeds)
            time.sleep(0.05)

    def held(self, name: str) -> node_pb.ModelHolding:
        return self.nodes[name].holding() or node_pb.ModelHolding()

    def is_whole(self, name: str) -> bool:
        return self.held(name).complete

    def seed(self, name: str, upload_mbit: float = 0.0) -> None:
        """Its pieces are known from then on."""
        self.add(name, upload_mbit=upload_mbit)
        self.wait(lambda: self.is_whole(name), 60.0, name)
        self.pieces_sha256 = self.held(name).pieces_sha256

    def close(self) -> None:
        for node in self.nodes.values():
            node.close()


@pytest.fixture
def rack(tmp_path: Path) -> Iterator[Rack]:
    """A source with a model of 8 MB: 35 pieces."""
    model = build_paper_model(tmp_path / "origin" / "model", floats=2_000_000)
    write_manifest(model, name="helios-paper", revision="abc")
    source = CountingServer(shelf(model))
    with ExitStack() as stack:
        stack.enter_context(serving(source))
        rack = Rack(tmp_path, model, source)
        stack.callback(rack.close)
        yield rack
