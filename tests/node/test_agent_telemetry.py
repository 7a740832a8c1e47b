"""The agent tells its card's readings with every exchange, each in the field that means it."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import pynvml
import pytest

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.agent import Agent
from node_agent.card_report import telemetry_report
from node_agent.card_settings import CardSettings
from node_agent.engine import Engine
from node_agent.links.local import LocalLink
from node_agent.render.child import ChildOptions
from node_agent.render.messages import Ready
from node_agent.telemetry import CardSenses, CardWatch, SystemNvml
from node_agent.workbench import Counters
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary


async def nobody(request: bytes) -> bytes:
    raise AssertionError("no exchange is made here")


def told(
    tmp_path: Path, gpu: SimulatedGpu | None, *, about: Ready | None = None, **more: Any
) -> node_pb.ExchangeRequest:
    """What an agent says, right after its watch has looked."""
    settings = CardSettings(
        card_id="node-0",
        node_id="node",
        hostname="host",
        slot=0,
        device="cuda:0" if gpu else "cpu",
        spool=tmp_path,
        **{"child": ChildOptions(renderer="testcard"), **more},
    )
    nvml = SystemNvml(SimulatedLibrary(gpu)) if gpu else None
    watch = CardWatch(settings.device, nvml=nvml)
    watch.look()
    agent = Agent(settings, LocalLink(nobody), watch)
    agent._engine.about, agent._engine.model = about, settings.child.model
    return agent.request()


def test_a_gpus_readings_ride_the_exchange(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    gpu = SimulatedGpu(reasons=pynvml.nvmlClocksEventReasonSwPowerCap, pcie=(1, 8))
    request = told(tmp_path, gpu)
    assert request.card.device == "NVIDIA GeForce RTX 4060 Ti"
    assert request.card.vram_bytes == 16 << 30
    telemetry = request.telemetry
    assert telemetry.gpu_uuid == "GPU-aaaa"
    assert telemetry.power_watts == 150.0
    assert telemetry.temperature_celsius == 60
    assert (telemetry.sm_clock_hertz, telemetry.memory_clock_hertz) == (2.5e9, 9.001e9)
    assert (telemetry.energy_joules, telemetry.energy_method) == (0.0, "counter")
    assert telemetry.throttled_seconds == 0.0
    assert telemetry.vram_used_bytes == 1 << 30
    assert (telemetry.utilization_ratio, telemetry.fan_ratio) == (0.97, 0.4)
    assert (telemetry.pcie_generation, telemetry.pcie_width) == (1, 8)
    assert telemetry.HasField("xid_errors")
    assert telemetry.xid_errors == 0


def test_a_cpu_slot_says_nothing_of_a_card_that_is_not_there(tmp_path: Path) -> None:
    request = told(tmp_path, None)
    assert request.card.device == "cpu"
    assert request.card.vram_bytes == 0
    given = {field.name for field, _ in request.telemetry.ListFields()}
    assert given == {"host_ram_used_bytes", "host_ram_bytes"}, "its spool is not made yet"


def test_a_card_says_what_the_plan_matches_it_by(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    (tmp_path / "node.toml").write_text('[card."GPU-aaaa"]\ntags = ["quiet", "attic"]\n')
    node_file = tmp_path / "node.toml"
    card = told(tmp_path, SimulatedGpu(), tags=("attic", "night"), node_file=node_file).card
    assert card.card_type == "rtx-4060-ti"
    assert list(card.tags) == ["attic", "night", "quiet"]
    assert (card.lanes, card.power_cap_watts) == (1, 165.0)
    assert (list(card.models), card.profile) == ([], ""), "no renderer has said anything yet"
    assert not card.profiles
    assert not card.HasField("examination")


def test_a_cpu_slot_is_a_type_too_and_an_unknown_limit_is_none(tmp_path: Path) -> None:
    card = told(tmp_path, None).card
    assert (card.card_type, list(card.tags), card.power_cap_watts) == ("cpu", [], 0.0)


def test_a_node_file_that_is_wrong_costs_its_tags_alone(tmp_path: Path, caplog) -> None:
    (tmp_path / "node.toml").write_text("[cards]\n")
    card = told(tmp_path, None, tags=("night",), node_file=tmp_path / "node.toml").card
    assert list(card.tags) == ["night"]
    assert "no such key" in caplog.text


def test_a_model_can_be_asked_for_by_every_name_that_it_has(tmp_path: Path) -> None:
    about = Ready(
        renderer="helios",
        model_digest="d1",
        stack_id="torch,exact,x264",
        profiles=("exact", "fast"),
        model_name="helios-distilled",
    )
    for directory, expected in (
        ("models/mine", ["mine", "helios-distilled", "d1"]),
        ("models/helios-distilled", ["helios-distilled", "d1"]),
    ):
        child = ChildOptions(renderer="helios", model=Path(directory), lanes=3)
        card = told(tmp_path, None, about=about, child=child).card
        assert list(card.models) == expected
        assert (card.profile, card.lanes) == ("exact", 3)
        assert list(card.profiles) == ["exact", "fast"]


def test_a_card_in_a_rack_is_tagged_so_and_its_clock_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    node_file = tmp_path / "node.toml"
    node_file.write_text('[card."GPU-aaaa"]\nrack = "a3"\ntags = ["quiet"]\n')
    began = time.time()
    request = told(tmp_path, SimulatedGpu(), node_file=node_file)
    assert list(request.card.tags) == ["quiet", "rack=a3"]
    assert began - 1 <= request.sent_at.ToNanoseconds() / 1e9 <= time.time() + 1
    without = told(tmp_path, None, tags=("rack=b1",), node_file=node_file).card
    assert list(without.tags) == ["rack=b1"]


def test_seconds_and_passes_of_chunks_and_room_for_the_spool(tmp_path: Path) -> None:
    counters = Counters(encode_seconds=1.5, passes=11.9999999, pass_seconds=30.5)
    engine = Engine(ChildOptions(renderer="testcard"), lambda: None)
    telemetry = telemetry_report(counters, engine, CardSenses(), tmp_path)
    assert (telemetry.encode_seconds, telemetry.pass_seconds) == (1.5, 30.5)
    assert telemetry.passes == 12, "shares of lanes add up"
    assert telemetry.spool_free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.1)
    assert not telemetry.HasField("host_ram_bytes")
