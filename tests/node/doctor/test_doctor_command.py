"""`farm-node doctor`: what comes next, and an exit code that a script can go by."""

from __future__ import annotations

import json
from dataclasses import replace

import pynvml
import pytest
from typer.testing import CliRunner

from node_agent.cli import app
from node_agent.doctor import gather
from node_agent.doctor.card import CardFacts, DriverFacts
from node_agent.doctor.examine import Facts, examine, next_step
from node_agent.doctor.finding import State
from node_agent.doctor.host import ClockFacts, DiskFacts, GroupFacts, LimitFacts, MemoryFacts
from node_agent.doctor.stack import EncoderFacts, ModelFacts, NetworkFacts, TorchFacts
from node_agent.telemetry import SystemNvml
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary

GB = 1_000_000_000


def machine(*gpus: SimulatedGpu, **changes) -> Facts:
    """A machine with nothing wrong, but for `changes`."""
    nvml = SystemNvml(SimulatedLibrary(*gpus))
    cards = tuple(CardFacts(card, nvml.sample(card.index)) for card in nvml.cards())
    sound = Facts(
        driver=DriverFacts(installed=True, version="580.1", cuda=(13, 0)),
        cards=cards,
        memory=MemoryFacts(64 * GB, 60 * GB),
        group=GroupFacts(None),
        locked_memory=LimitFacts(None),
        open_files=LimitFacts(None),
        clock=ClockFacts(now=2e9, not_before=1e9, synchronised=True),
        disk=DiskFacts(path="spool", free=90 * GB, bytes_per_second=1e9),
        torch=TorchFacts(version="2.13.0", cuda_build="13.0", devices=("x",) * len(cards)),
        encoder=EncoderFacts(seconds=0.1, size=100),
        model=ModelFacts(directory="helios", name="helios", digest="d" * 64),
        network=None,
    )
    return replace(sound, **changes)


TWO = SimulatedGpu(uuid="GPU-a"), SimulatedGpu(uuid="GPU-b")


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (machine(*TWO), "farm up --gpu-cards 2 --model helios"),
        (machine(*TWO, torch=TorchFacts(version="2+cpu")), "make install LOCK=cuda"),
        (machine(*TWO, model=None), "farm-node model fetch BestWishYsh/Helios-Distilled, then"),
        (
            machine(*TWO, model=ModelFacts(directory="m", problems=("gone",))),
            "farm-node model fetch BestWishYsh/Helios-Distilled m",
        ),
        (
            machine(*TWO, network=NetworkFacts(endpoint="f:1", seconds=0.1, serving=True)),
            "farm submit FILE",
        ),
        (machine(*TWO, disk=DiskFacts(path="s", free=1)), "mend spool: make room"),
        (machine(SimulatedGpu(capability=(7, 5))), "mend card 0: "),
        (machine(model=None), "farm up --cpu-cards 2"),
        (machine(torch=TorchFacts(problem="ImportError")), "make install"),
    ],
)
def test_the_next_step_leads_to_a_first_clip(facts: Facts, expected: str) -> None:
    assert next_step(facts, examine(facts)).startswith(expected)


def test_a_sound_machine_has_only_the_farm_unknown() -> None:
    states = {finding.name: finding.state for finding in examine(machine(*TWO))}
    assert {name for name, state in states.items() if state is not State.GOOD} == {"network"}
    assert {"card 0", "VRAM 0", "PCIe 0", "card 1", "VRAM 1", "PCIe 1"} <= states.keys()


def test_what_all_cards_stream_is_what_the_host_must_hold() -> None:
    mixed = SimulatedGpu(uuid="GPU-a", vram_bytes=85 * GB), SimulatedGpu(uuid="GPU-b")
    for gpus, state in ((mixed, State.GOOD), (TWO, State.WARNING)):
        found = examine(machine(*gpus, memory=MemoryFacts(24 * GB, 24 * GB)))
        assert next(each for each in found if each.name == "host RAM").state is state


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    error = pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
    none = gather.driver_and_cards(lambda: SystemNvml(SimulatedLibrary(error=error)))
    monkeypatch.setattr(gather, "driver_and_cards", lambda: none)
    # The rest is the machine's own, whose memory and clock this test does not ask about.
    monkeypatch.setattr(gather, "memory", lambda: MemoryFacts(64 * GB, 60 * GB))


def test_without_a_gpu_it_is_of_use_and_no_failure(no_gpu: None, tmp_path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--spool", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "rehearsal" in done.output
    assert "next: farm up --cpu-cards 2" in done.output


def test_a_gpu_that_is_required_and_missing_fails_in_json(no_gpu: None, tmp_path) -> None:
    options = ["--json", "--require-gpu", "--spool", str(tmp_path), "--farm", "127.0.0.1:1"]
    done = CliRunner().invoke(app, ["doctor", *options])
    assert done.exit_code == 1
    told = json.loads(done.stdout)
    assert told["fit"] is False
    states = {finding["name"]: finding["state"] for finding in told["findings"]}
    assert (states["driver"], states["card"], states["network"]) == ("bad", "bad", "bad")
    assert told["next"].startswith("mend driver: ")
