"""What a card tells of itself: in base units, of the right card, absent where it cannot (OBS-1)."""

from __future__ import annotations

import dataclasses
import threading

import pynvml
import pytest

from node_agent.telemetry import CardWatch, NvmlUnavailable, Sample, SystemNvml, nvml_index
from node_agent.telemetry.watch import STALE_SECONDS
from tests.fixtures.simulated_nvml import SimulatedGpu, SimulatedLibrary

THERMAL = pynvml.nvmlClocksEventReasonSwThermalSlowdown
POWER_CAP = pynvml.nvmlClocksEventReasonSwPowerCap

TELLS_NOTHING = {
    "serial": None, "vbios": None, "capability": None, "vram_bytes": None, "milliwatts": None,
    "limit_milliwatts": None, "millijoules": None, "celsius": None, "sm_megahertz": None,
    "sm_megahertz_max": None,
    "memory_megahertz": None, "reasons": None, "pcie": None, "pcie_max": None,
    "busy_percent": None, "fan_percent": None, "has_xids": False,
}  # fmt: skip


def nvml(*gpus: SimulatedGpu) -> SystemNvml:
    return SystemNvml(SimulatedLibrary(*gpus))


def test_readings_come_in_base_units() -> None:
    sample = nvml(SimulatedGpu(reasons=THERMAL | POWER_CAP)).sample(0)
    assert sample == Sample(
        power_watts=150.0,
        power_limit_watts=165.0,
        energy_joules=5000.0,
        temperature_celsius=60,
        sm_clock_hertz=2.5e9,
        sm_clock_max_hertz=3.105e9,
        memory_clock_hertz=9.001e9,
        throttle_reasons=frozenset({"sw_thermal_slowdown", "sw_power_cap"}),
        vram_used_bytes=1 << 30,
        vram_total_bytes=16 << 30,
        pcie_generation=4,
        pcie_generation_max=4,
        pcie_width=8,
        pcie_width_max=8,
        utilization_ratio=0.97,
        fan_ratio=0.4,
        xid_errors=0,
    )


@pytest.mark.parametrize("gpu", [SimulatedGpu(**TELLS_NOTHING), SimulatedGpu(lost=True)])
def test_what_a_card_cannot_tell_is_absent_not_zero(gpu: SimulatedGpu) -> None:
    sample = nvml(gpu).sample(0)
    told = {f.name for f in dataclasses.fields(sample) if getattr(sample, f.name) is not None}
    assert not told
    assert sample.throttled is None


def test_a_zero_that_is_told_is_a_zero() -> None:
    sample = nvml(SimulatedGpu(fan_percent=0, busy_percent=0, reasons=0)).sample(0)
    assert (sample.fan_ratio, sample.utilization_ratio, sample.throttled) == (0.0, 0.0, False)


def test_the_power_limit_is_no_fault_and_heat_is() -> None:
    assert nvml(SimulatedGpu(reasons=POWER_CAP)).sample(0).throttled is False
    assert nvml(SimulatedGpu(reasons=POWER_CAP | THERMAL)).sample(0).throttled is True
    assert nvml(SimulatedGpu(reasons=1 << 40)).sample(0).throttle_reasons == {"other"}


def test_xid_errors_are_counted_per_card_from_the_first_look() -> None:
    one, other = SimulatedGpu(uuid="GPU-a"), SimulatedGpu(uuid="GPU-b")
    cards = nvml(one, other)
    assert cards.sample(0).xid_errors == 0
    one.xids += [79, 31]
    assert (cards.sample(0).xid_errors, cards.sample(1).xid_errors) == (2, 0)
    one.xids += [13]
    assert cards.sample(0).xid_errors == 3


def test_a_lost_card_is_left_out_and_the_others_keep_their_index() -> None:
    found = nvml(SimulatedGpu(uuid="GPU-a", lost=True), SimulatedGpu(uuid="GPU-b")).cards()
    assert [(card.index, card.uuid) for card in found] == [(1, "GPU-b")]


@pytest.mark.parametrize(
    ("error", "installed"),
    [(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, False), (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, True)],
)
def test_no_driver_and_a_broken_one_are_told_apart(error: int, installed: bool) -> None:
    with pytest.raises(NvmlUnavailable) as raised:
        SystemNvml(SimulatedLibrary(error=error))
    assert raised.value.installed is installed
    assert str(raised.value)


class TestWhichCardADeviceIs:
    ALIKE = nvml(*(SimulatedGpu(uuid=f"GPU-{letter}111") for letter in "abc")).cards()
    MIXED = nvml(
        SimulatedGpu(uuid="GPU-a", name="slow"), SimulatedGpu(uuid="GPU-b", name="fast")
    ).cards()

    @pytest.mark.parametrize(
        ("device", "visible", "index"),
        [
            ("cuda:1", None, 1),
            ("cuda", None, 0),
            ("cuda:0", "2,0", 2),
            ("cuda:1", "2,0", 0),
            ("cuda:2", "2,0", None),
            ("cuda:0", "GPU-c111,GPU-a111", 2),
            ("cuda:1", " GPU-c , GPU-a ", 0),
            ("cuda:0", "GPU-", None),
            ("cuda:0", "MIG-GPU-a111/1/0", None),
            ("cuda:0", "-1,0", None),
            ("cuda:1", "1,7,0", None),
            ("cuda:0", "", None),
            ("cuda:3", None, None),
            ("cuda:x", None, None),
            ("cpu", None, None),
        ],
    )
    def test_as_cuda_counts(self, device: str, visible: str | None, index: int | None) -> None:
        environment = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
        assert nvml_index(device, self.ALIKE, environment) == index

    def test_unlike_cards_in_cudas_own_order_are_not_guessed_at(self) -> None:
        fastest = {"CUDA_DEVICE_ORDER": "FASTEST_FIRST"}
        assert nvml_index("cuda:0", self.MIXED, fastest) is None
        assert nvml_index("cuda:0", self.ALIKE, fastest) == 0
        assert nvml_index("cuda:0", self.MIXED, {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}) == 0
        by_name = {**fastest, "CUDA_VISIBLE_DEVICES": "GPU-b"}
        assert nvml_index("cuda:0", self.MIXED, by_name) == 1


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


class TestWatch:
    @pytest.fixture(autouse=True)
    def _no_settings_from_outside(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.delenv("CUDA_DEVICE_ORDER", raising=False)

    def test_energy_and_throttling_count_from_its_start(self) -> None:
        gpu, clock = SimulatedGpu(), Clock()
        watch = CardWatch("cuda:0", nvml=nvml(gpu), clock=clock)
        watch.look()
        first = watch.latest()
        assert (first.energy_joules, first.throttled_seconds) == (0.0, 0.0)
        assert first.energy_method == "counter"
        gpu.millijoules, gpu.reasons = 5_150_000, THERMAL
        clock.seconds += 1
        watch.look()
        gpu.reasons = 0
        clock.seconds += 1
        watch.look()
        assert watch.latest().energy_joules == pytest.approx(150.0)
        assert watch.latest().throttled_seconds == 1.0

    def test_readings_that_are_old_are_absent_and_the_card_still_is_what_it_is(self) -> None:
        clock = Clock()
        watch = CardWatch("cuda:0", nvml=nvml(SimulatedGpu()), clock=clock)
        watch.look()
        clock.seconds += STALE_SECONDS + 1
        stale = watch.latest()
        assert stale.sample == Sample()
        assert stale.energy_joules is None
        assert stale.identity is not None
        assert stale.identity.uuid == "GPU-aaaa"

    def test_a_cpu_slot_tells_of_its_host_alone(self) -> None:
        watch = CardWatch("cpu")
        watch.look()
        senses = watch.latest()
        assert senses.host_ram_used_bytes
        assert (senses.identity, senses.sample, senses.energy_joules) == (None, Sample(), None)

    def test_a_driver_that_hangs_holds_up_nobody(self) -> None:
        entered, released = threading.Event(), threading.Event()

        class Hangs(SystemNvml):
            def sample(self, index: int) -> Sample:
                entered.set()
                released.wait(60)
                return Sample()

        watch = CardWatch("cuda:0", nvml=Hangs(SimulatedLibrary(SimulatedGpu())))
        watch.start()
        assert entered.wait(60)
        assert watch.latest().sample == Sample()
        watch.close()
        assert not released.is_set()
        released.set()
