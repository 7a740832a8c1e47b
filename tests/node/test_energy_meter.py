"""Joules: from the board's counter where there is one, else from its power (OBS-5)."""

from __future__ import annotations

import math
import threading

import pytest

from node_agent.telemetry import EnergyMeter, SystemNvml
from node_agent.telemetry.meter import GAP_SECONDS_MAX, SAMPLES_PER_SECOND, PowerIntegral
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary


def nvml(*gpus: SimulatedGpu) -> SystemNvml:
    return SystemNvml(SimulatedLibrary(*gpus))


def test_the_counter_is_taken_where_there_is_one() -> None:
    gpu = SimulatedGpu(millijoules=7_000)
    meter = EnergyMeter(nvml(gpu), 0)
    mark = meter.read()
    gpu.millijoules = 19_500
    assert meter.method == "counter"
    assert meter.read() - mark == pytest.approx(12.5)


def test_a_counter_that_starts_anew_or_fails_never_takes_joules_back() -> None:
    gpu = SimulatedGpu(millijoules=1_000_000)
    meter = EnergyMeter(nvml(gpu), 0)
    gpu.millijoules = 1_100_000
    before = meter.read()
    gpu.lost = True
    assert meter.read() == before
    gpu.lost, gpu.millijoules = False, 5_000  # the driver was loaded again
    assert meter.read() == pytest.approx(before + 5.0)


def test_power_is_integrated_by_trapezoids() -> None:
    integral = PowerIntegral()
    for step in range(21):  # a ramp from 0 to 200 W over 2 s: 200 J
        integral.add(step / 10, 10.0 * step)
    assert integral.joules == pytest.approx(200.0)


def test_samples_at_ten_a_second_follow_a_load_that_swings() -> None:
    integral = PowerIntegral()
    for step in range(601):
        integral.add(step / 10, 100 + 60 * math.sin(step / 10))
    exact = 100 * 60 + 60 * (1 - math.cos(60))
    assert integral.joules == pytest.approx(exact, rel=1e-3)


def test_a_gap_counts_nothing_and_is_told() -> None:
    integral = PowerIntegral()
    integral.add(0.0, 100.0)
    integral.add(1.0, 100.0)
    integral.add(1.5, None)  # one reading that failed is no gap
    integral.add(2.0, 100.0)
    integral.add(3602.0, 100.0)  # the machine slept
    integral.add(3603.0, 100.0)
    assert integral.joules == pytest.approx(300.0)
    assert integral.gap_seconds == pytest.approx(3600.0)
    assert GAP_SECONDS_MAX < 3600


def test_a_card_without_a_counter_is_sampled_by_a_thread() -> None:
    now = [0.0]
    sampled = threading.Semaphore(0)

    class Ticks(SystemNvml):
        def power_watts(self, index: int) -> float | None:
            now[0] += 0.1
            sampled.release()
            return super().power_watts(index)

    gpu = SimulatedGpu(millijoules=None, milliwatts=120_000)
    meter = EnergyMeter(Ticks(SimulatedLibrary(gpu)), 0, clock=lambda: now[0])
    for _ in range(12):
        assert sampled.acquire(timeout=180)
    meter.close()
    assert meter.method == "sampled"
    assert SAMPLES_PER_SECOND >= 10
    joules = meter.read()
    assert joules == pytest.approx(120.0 * (now[0] - 0.2))
    assert meter.gap_seconds == 0


def test_of_nothing_that_can_be_read_there_is_no_meter() -> None:
    mute = SimulatedGpu(millijoules=None, milliwatts=None)
    assert EnergyMeter.for_device("cpu", nvml=nvml(SimulatedGpu())) is None
    assert EnergyMeter.for_device("cuda:0", nvml=nvml(mute), environment={}) is None
    assert EnergyMeter.for_device("cuda:1", nvml=nvml(SimulatedGpu()), environment={}) is None


def test_the_meter_reads_the_card_that_the_process_sees() -> None:
    one, other = SimulatedGpu(uuid="GPU-a"), SimulatedGpu(uuid="GPU-b")
    hidden = {"CUDA_VISIBLE_DEVICES": "GPU-b"}
    meter = EnergyMeter.for_device("cuda:0", nvml=nvml(one, other), environment=hidden)
    assert meter is not None
    one.millijoules = other.millijoules = 5_003_000
    other.millijoules = 5_001_000
    assert meter.read() == pytest.approx(1.0)
