"""Joules of a card whose power is known: within 1%, by counter and by samples, whatever happens
between (OBS-5)."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from heliostat.v1 import types_pb2 as types_pb
from node_agent.card_report import telemetry_report
from node_agent.engine import Engine
from node_agent.render.child import ChildOptions
from node_agent.telemetry import CardWatch, EnergyMeter, SystemNvml
from node_agent.telemetry import meter as meter_module
from node_agent.telemetry.meter import GAP_SECONDS_MAX, SAMPLES_PER_SECOND
from node_agent.workbench import Counters
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary

STEP = 0.005
"""Seconds; the card's own counter is moved on so often."""

LOADS: dict[str, Callable[[float], float]] = {
    "constant": lambda _t: 151.3,
    "chunks": lambda t: 160.0 if t % 8 < 6.5 else 38.0,
    "bursts": lambda t: 165.0 if t % 0.9 < 0.6 else 90.0,
    "swing": lambda t: 110 + 50 * math.sin(t),
    "asleep": lambda _t: 7.5,
}
"""Watts over seconds."""


@dataclass
class Lab:
    """A card with known power, on a clock that the test moves."""

    watts: Callable[[float], float]
    has_counter: bool = True
    time: float = 1000.0
    joules: float = 0.0
    """What it has truly drawn."""
    gpu: SimulatedGpu = field(init=False)

    def __post_init__(self) -> None:
        self._counted = 7_654_321.0
        self.gpu = SimulatedGpu(millijoules=0 if self.has_counter else None)
        self._tell()

    @property
    def nvml(self) -> SystemNvml:
        return SystemNvml(SimulatedLibrary(self.gpu))

    def clock(self) -> float:
        return self.time

    def run(self, seconds: float) -> None:
        """Let the card draw power, with nobody looking."""
        for _ in range(round(seconds / STEP)):
            drawn = self.watts(self.time + STEP / 2) * STEP
            self.time += STEP
            self.joules += drawn
            self._counted += drawn * 1000
        self._tell()

    def load_driver_again(self) -> None:
        """Its counter begins at zero."""
        self._counted = 0.0
        self._tell()

    def _tell(self) -> None:
        self.gpu.milliwatts = int(self.watts(self.time) * 1000)
        if self.has_counter:
            self.gpu.millijoules = int(self._counted)


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)


@pytest.fixture
def sampled(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Lab], EnergyMeter]]:
    """Meters that sample when the test says so, and hardly by themselves."""
    monkeypatch.setattr(meter_module, "SAMPLES_PER_SECOND", 1 / 3600)
    meters = []

    def make(lab: Lab) -> EnergyMeter:
        meters.append(EnergyMeter(lab.nvml, 0, clock=lab.clock))
        return meters[-1]

    yield make
    for meter in meters:
        meter.close()


def sample(lab: Lab, meter: EnergyMeter, seconds: float, per_second: float = 10.0) -> None:
    """Take samples, as unevenly as a busy machine does."""
    dice, end = random.Random(7), lab.time + seconds
    while lab.time < end:
        lab.run(dice.uniform(0.5, 1.0) / per_second)
        meter.read()


@pytest.mark.parametrize("load", LOADS)
def test_the_counter_gives_what_was_drawn(load: str) -> None:
    lab = Lab(LOADS[load])
    watch = CardWatch("cuda:0", nvml=lab.nvml, clock=lab.clock)
    watch.look()
    before = lab.joules
    for _ in range(60):
        lab.run(1.0)
        watch.look()
    senses = watch.latest()
    assert senses.energy_method == "counter"
    assert senses.energy_joules == pytest.approx(lab.joules - before, rel=0.001)


@pytest.mark.parametrize("load", LOADS)
def test_samples_ten_times_a_second_give_it_within_one_per_cent(
    load: str, sampled: Callable[[Lab], EnergyMeter]
) -> None:
    lab = Lab(LOADS[load], has_counter=False)
    meter = sampled(lab)
    sample(lab, meter, 120.0)
    assert meter.method == "sampled"
    assert meter.read() == pytest.approx(lab.joules, rel=0.01)
    assert meter.gap_seconds == 0
    assert SAMPLES_PER_SECOND >= 10


class TestAProcessThatWasStopped:
    """SIGSTOP, a suspended machine: nothing ran between two readings."""

    STOPPED = 60.0

    def test_loses_nothing_where_the_board_counts(self) -> None:
        lab = Lab(LOADS["chunks"])
        meter = EnergyMeter(lab.nvml, 0, clock=lab.clock)
        lab.run(30.0)
        meter.read()
        lab.run(self.STOPPED)
        assert meter.read() == pytest.approx(lab.joules, rel=0.001)
        assert meter.gap_seconds == 0

    def test_counts_nothing_of_the_gap_where_power_is_sampled(
        self, sampled: Callable[[Lab], EnergyMeter]
    ) -> None:
        lab = Lab(LOADS["chunks"], has_counter=False)
        meter = sampled(lab)
        sample(lab, meter, 60.0)
        seen = lab.joules
        lab.run(self.STOPPED)
        unseen = lab.joules - seen
        sample(lab, meter, 60.0)
        assert meter.read() == pytest.approx(lab.joules - unseen, rel=0.01)
        assert meter.gap_seconds == pytest.approx(self.STOPPED, abs=0.2)

    def test_bridges_what_is_too_short_to_matter(
        self, sampled: Callable[[Lab], EnergyMeter]
    ) -> None:
        lab = Lab(LOADS["constant"], has_counter=False)
        meter = sampled(lab)
        sample(lab, meter, 10.0)
        lab.run(GAP_SECONDS_MAX * 0.9)
        sample(lab, meter, 10.0)
        assert meter.read() == pytest.approx(lab.joules, rel=0.01)


class TestACounterThatBeginsAnew:
    def test_costs_no_more_than_a_look_and_never_goes_back(self) -> None:
        lab = Lab(LOADS["chunks"])
        watch, told = CardWatch("cuda:0", nvml=lab.nvml, clock=lab.clock), []
        watch.look()
        for second in range(300):
            lab.run(1.0)
            if second in (70, 200):
                lab.load_driver_again()
            watch.look()
            told.append(watch.latest().energy_joules)
        assert told == sorted(told)
        assert told[-1] == pytest.approx(lab.joules, rel=0.01)

    def test_while_the_card_is_lost_nothing_is_counted_and_then_all_of_it(self) -> None:
        lab = Lab(LOADS["constant"])
        meter = EnergyMeter(lab.nvml, 0, clock=lab.clock)
        lab.run(10.0)
        before = meter.read()
        lab.gpu.lost = True
        lab.run(20.0)
        assert meter.read() == before
        lab.gpu.lost = False
        assert meter.read() == pytest.approx(lab.joules, rel=0.001)


class TestSensorsThatAreMissing:
    def told(self, watch: CardWatch, tmp_path: Path) -> types_pb.CardTelemetry:
        engine = Engine(ChildOptions(renderer="testcard"), lambda: None)
        return telemetry_report(Counters(), engine, watch.latest(), tmp_path)

    def test_a_card_that_measures_nothing_tells_no_energy(self, tmp_path: Path) -> None:
        gpu = SimulatedGpu(millijoules=None, milliwatts=None)
        watch = CardWatch("cuda:0", nvml=SystemNvml(SimulatedLibrary(gpu)))
        watch.look()
        told = self.told(watch, tmp_path)
        assert not told.HasField("energy_joules")
        assert not told.HasField("power_watts")
        assert told.energy_method == ""
        assert told.gpu_uuid == "GPU-aaaa"
        assert told.HasField("temperature_celsius")

    def test_one_that_has_drawn_nothing_yet_tells_a_zero(self, tmp_path: Path) -> None:
        watch = CardWatch("cuda:0", nvml=Lab(LOADS["constant"]).nvml)
        watch.look()
        told = self.told(watch, tmp_path)
        assert told.HasField("energy_joules")
        assert told.energy_joules == 0

    def test_a_power_sensor_that_fails_for_a_while_leaves_a_gap(
        self, sampled: Callable[[Lab], EnergyMeter]
    ) -> None:
        lab = Lab(LOADS["constant"], has_counter=False)
        meter = sampled(lab)
        sample(lab, meter, 30.0)
        seen = lab.joules
        lab.gpu.lost = True
        sample(lab, meter, 5.0)
        unseen = lab.joules - seen
        lab.gpu.lost = False
        sample(lab, meter, 30.0)
        assert meter.read() == pytest.approx(lab.joules - unseen, rel=0.01)
        assert meter.gap_seconds == pytest.approx(5.0, abs=0.3)
