"""What the doctor says of a driver and its cards: good, bad and unknown, each with a remedy."""

from __future__ import annotations

import pynvml
import pytest

from node_agent.doctor import gather
from node_agent.doctor.card import (
    CardFacts,
    DriverFacts,
    check_card,
    check_driver,
    check_link,
    check_no_card,
    check_vram,
)
from node_agent.doctor.finding import Finding, State
from node_agent.telemetry import SystemNvml
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary

GB = 1_000_000_000


def seen(gpu: SimulatedGpu) -> CardFacts:
    _, (card,) = gather.driver_and_cards(lambda: SystemNvml(SimulatedLibrary(gpu)))
    return card


def driver(**options) -> DriverFacts:
    found, _ = gather.driver_and_cards(lambda: SystemNvml(SimulatedLibrary(**options)))
    return found


def holds(finding: Finding, state: State, *words: str) -> None:
    assert finding.state is state, finding
    for word in words:
        assert word in finding.what + finding.remedy, finding
    assert finding.remedy or state in (State.GOOD, State.UNKNOWN)


class TestDriver:
    def test_new_enough(self) -> None:
        holds(check_driver(driver()), State.GOOD, "580.95.05", "CUDA 13.0")
        holds(check_driver(driver(driver="999.1", cuda=13020)), State.GOOD, "CUDA 13.2")

    def test_too_old(self) -> None:
        found = check_driver(driver(driver="550.120", cuda=12040))
        holds(found, State.BAD, "CUDA 12.4", "install driver 580")

    def test_broken(self) -> None:
        found = check_driver(driver(error=pynvml.NVML_ERROR_DRIVER_NOT_LOADED))
        holds(found, State.BAD, "Not Loaded", "restart the machine")

    def test_none_is_a_warning_until_a_gpu_is_required(self) -> None:
        none = driver(error=pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)
        holds(check_driver(none), State.WARNING, "CPU cards", "coordinate")
        holds(check_driver(none, require_gpu=True), State.BAD)
        holds(check_no_card(require_gpu=False), State.WARNING, "CPU cards")
        holds(check_no_card(require_gpu=True), State.BAD)

    def test_one_that_does_not_tell(self) -> None:
        holds(check_driver(driver(driver=None, cuda=None)), State.UNKNOWN)


class TestCard:
    @pytest.mark.parametrize(
        ("capability", "state"),
        [((8, 0), State.GOOD), ((12, 0), State.GOOD), ((7, 5), State.BAD), (None, State.UNKNOWN)],
    )
    def test_bfloat16_needs_ampere(self, capability, state: State) -> None:
        found = check_card(seen(SimulatedGpu(capability=capability)))
        holds(found, state, "RTX 4060 Ti")
        assert found.name == "card 0"


class TestMemoryOfTheCard:
    @pytest.mark.parametrize(
        ("mebibytes", "state", "words"),
        [
            (80 << 10, State.GOOD, "all weights stay"),
            (16380, State.GOOD, "exact keeps 17 of 40 blocks on the card, fast 35"),
            (8188, State.GOOD, "exact keeps 3 of 40 blocks on the card, fast 6"),
            (6400, State.WARNING, "fast 0"),
            (6144, State.BAD, "needs 6.5 GB"),
        ],
    )
    def test_as_the_profiles_need(self, mebibytes: int, state: State, words: str) -> None:
        gpu = SimulatedGpu(vram_bytes=mebibytes << 20, vram_used_bytes=100 << 20)
        holds(check_vram(seen(gpu)), state, words)

    def test_what_others_hold_counts(self) -> None:
        gpu = SimulatedGpu(vram_bytes=16 * GB, vram_used_bytes=11 * GB)
        holds(check_vram(seen(gpu)), State.BAD, "5.0 GB free", "nvidia-smi")

    def test_a_card_that_does_not_tell(self) -> None:
        holds(check_vram(seen(SimulatedGpu(vram_bytes=None))), State.UNKNOWN)


class TestLink:
    def test_eight_lanes_of_generation_four_are_thirteen_gigabytes_a_second(self) -> None:
        holds(check_link(seen(SimulatedGpu())), State.GOOD, "about 13 GB/s", "1.1 s")

    def test_an_idle_card_that_saves_power_is_not_blamed(self) -> None:
        idle = SimulatedGpu(pcie=(1, 8), pcie_max=(4, 8))
        holds(check_link(seen(idle)), State.GOOD, "generation 1 of 4")

    def test_a_narrow_slot(self) -> None:
        narrow = SimulatedGpu(pcie=(4, 4), pcie_max=(4, 8))
        holds(check_link(seen(narrow)), State.WARNING, "4 of 8 lanes", "more lanes")

    def test_an_old_slot(self) -> None:
        old = SimulatedGpu(pcie=(3, 8), pcie_max=(3, 8))
        holds(check_link(seen(old)), State.WARNING, "faster slot")

    def test_a_riser_of_one_lane(self) -> None:
        riser = SimulatedGpu(pcie=(3, 1), pcie_max=(3, 16))
        holds(check_link(seen(riser)), State.BAD, "riser")

    def test_a_card_that_holds_all_weights_needs_no_fast_slot(self) -> None:
        large = SimulatedGpu(vram_bytes=80 << 30, pcie=(3, 4), pcie_max=(3, 16))
        holds(check_link(seen(large)), State.GOOD, "nothing is streamed")

    @pytest.mark.parametrize("pcie", [None, (9, 8)])
    def test_a_card_that_does_not_tell(self, pcie) -> None:
        holds(check_link(seen(SimulatedGpu(pcie=pcie, pcie_max=pcie))), State.UNKNOWN)
