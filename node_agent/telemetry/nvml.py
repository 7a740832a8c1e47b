"""NVML as the agent needs it: base units, and None for what a card or its driver cannot tell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final, Protocol, TypeVar

import pynvml

from node_agent.telemetry.sample import Identity, Sample

A = TypeVar("A")

THROTTLE_REASONS: Final = MappingProxyType(
    {
        pynvml.nvmlClocksEventReasonGpuIdle: "gpu_idle",
        pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "applications_clocks_setting",
        pynvml.nvmlClocksEventReasonSwPowerCap: "sw_power_cap",
        pynvml.nvmlClocksEventReasonHwSlowdown: "hw_slowdown",
        pynvml.nvmlClocksEventReasonSyncBoost: "sync_boost",
        pynvml.nvmlClocksEventReasonSwThermalSlowdown: "sw_thermal_slowdown",
        pynvml.nvmlClocksEventReasonHwThermalSlowdown: "hw_thermal_slowdown",
        pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "hw_power_brake_slowdown",
        pynvml.nvmlClocksEventReasonDisplayClockSetting: "display_clock_setting",
    }
)

_XIDS_PER_LOOK_MAX = 1000
"""A card that reports without end must not keep its watch from anything else."""


class NvmlUnavailable(Exception):
    """NVML cannot be used; the message says why."""

    def __init__(self, message: str, *, installed: bool) -> None:
        super().__init__(message)
        self.installed = installed
        """A driver is installed and does not work; False: there is none."""


class Nvml(Protocol):
    """A machine's NVIDIA cards. No method raises for a reading that is not there."""

    def driver_version(self) -> str | None:
        """As `580.95.05`."""
        ...

    def cuda_version(self) -> tuple[int, int] | None:
        """The newest CUDA that the driver serves."""
        ...

    def cards(self) -> tuple[Identity, ...]:
        """All cards that can be asked, in NVML's order."""
        ...

    def sample(self, index: int) -> Sample:
        """A card's readings now."""
        ...

    def power_watts(self, index: int) -> float | None:
        """Power of the board alone: for those who ask often."""
        ...

    def energy_joules(self, index: int) -> float | None:
        """The board's energy counter alone."""
        ...


class SystemNvml:
    """`Nvml` by NVIDIA's own library."""

    def __init__(self, library: Any = pynvml) -> None:
        """Raises `NvmlUnavailable`. `library` offers pynvml's functions."""
        self._library = library
        self._lock = threading.Lock()
        self._xids: dict[int, _Xids | None] = {}
        try:
            library.nvmlInit()
        except pynvml.NVMLError as error:
            found = error.value != pynvml.NVML_ERROR_LIBRARY_NOT_FOUND
            raise NvmlUnavailable(str(error), installed=found) from error

    def driver_version(self) -> str | None:
        """See `Nvml`."""
        return _ask(lambda: str(self._library.nvmlSystemGetDriverVersion()))

    def cuda_version(self) -> tuple[int, int] | None:
        """See `Nvml`; NVML says 13020 for 13.2."""
        number: int | None = _ask(self._library.nvmlSystemGetCudaDriverVersion_v2)
        return None if number is None else (number // 1000, number % 1000 // 10)

    def cards(self) -> tuple[Identity, ...]:
        """See `Nvml`."""
        count = _ask(self._library.nvmlDeviceGetCount) or 0
        found = (self._identity(index) for index in range(count))
        return tuple(identity for identity in found if identity is not None)

    def sample(self, index: int) -> Sample:
        """See `Nvml`."""
        card = self._handle(index)
        if card is None:
            return Sample()
        lib = self._library
        reasons = _ask(lambda: lib.nvmlDeviceGetCurrentClocksEventReasons(card))
        memory = _ask(lambda: lib.nvmlDeviceGetMemoryInfo(card))
        busy = _ask(lambda: lib.nvmlDeviceGetUtilizationRates(card))
        return Sample(
            power_watts=self.power_watts(index),
            power_limit_watts=_scaled(lambda: lib.nvmlDeviceGetEnforcedPowerLimit(card), 1e-3),
            energy_joules=self.energy_joules(index),
            temperature_celsius=_ask(
                lambda: lib.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU)
            ),
            sm_clock_hertz=_mega(lambda: lib.nvmlDeviceGetClockInfo(card, pynvml.NVML_CLOCK_SM)),
            sm_clock_max_hertz=_mega(
                lambda: lib.nvmlDeviceGetMaxClockInfo(card, pynvml.NVML_CLOCK_SM)
            ),
            memory_clock_hertz=_mega(
                lambda: lib.nvmlDeviceGetClockInfo(card, pynvml.NVML_CLOCK_MEM)
            ),
            throttle_reasons=None if reasons is None else reason_names(reasons),
            vram_used_bytes=memory and int(memory.used),
            vram_total_bytes=memory and int(memory.total),
            pcie_generation=_ask(lambda: lib.nvmlDeviceGetCurrPcieLinkGeneration(card)),
            pcie_generation_max=_ask(lambda: lib.nvmlDeviceGetMaxPcieLinkGeneration(card)),
            pcie_width=_ask(lambda: lib.nvmlDeviceGetCurrPcieLinkWidth(card)),
            pcie_width_max=_ask(lambda: lib.nvmlDeviceGetMaxPcieLinkWidth(card)),
            utilization_ratio=busy and busy.gpu / 100,
            fan_ratio=_scaled(lambda: lib.nvmlDeviceGetFanSpeed(card), 0.01),
            xid_errors=self._count_xids(index, card),
        )

    def power_watts(self, index: int) -> float | None:
        """See `Nvml`; NVML counts milliwatts."""
        card = self._handle(index)
        return _scaled(lambda: self._library.nvmlDeviceGetPowerUsage(card), 1e-3) if card else None

    def energy_joules(self, index: int) -> float | None:
        """See `Nvml`; NVML counts millijoules."""
        card = self._handle(index)
        if card is None:
            return None
        return _scaled(lambda: self._library.nvmlDeviceGetTotalEnergyConsumption(card), 1e-3)

    def _handle(self, index: int) -> Any:
        return _ask(lambda: self._library.nvmlDeviceGetHandleByIndex(index))

    def _identity(self, index: int) -> Identity | None:
        card, lib = self._handle(index), self._library
        uuid = _ask(lambda: lib.nvmlDeviceGetUUID(card)) if card is not None else None
        if uuid is None:
            return None
        pci = _ask(lambda: lib.nvmlDeviceGetPciInfo(card).busId)
        memory = _ask(lambda: lib.nvmlDeviceGetMemoryInfo(card))
        return Identity(
            index=index,
            uuid=uuid,
            name=_ask(lambda: lib.nvmlDeviceGetName(card)),
            serial=_ask(lambda: lib.nvmlDeviceGetSerial(card)),
            pci_address=pci.decode() if isinstance(pci, bytes) else pci,
            vbios=_ask(lambda: lib.nvmlDeviceGetVbiosVersion(card)),
            vram_bytes=memory and int(memory.total),
            compute_capability=_ask(lambda: lib.nvmlDeviceGetCudaComputeCapability(card)),
        )

    def _count_xids(self, index: int, card: Any) -> int | None:
        with self._lock:
            if index not in self._xids:
                self._xids[index] = _ask(lambda: _Xids(self._library, card))
            xids = self._xids[index]
            return None if xids is None else xids.count()


class _Xids:
    """Xid errors of one card, counted from the moment that this is made."""

    def __init__(self, library: Any, card: Any) -> None:
        kind = pynvml.nvmlEventTypeXidCriticalError
        if not library.nvmlDeviceGetSupportedEventTypes(card) & kind:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        self._library = library
        self._events = library.nvmlEventSetCreate()
        library.nvmlDeviceRegisterEvents(card, kind, self._events)
        self._count = 0

    def count(self) -> int:
        for _ in range(_XIDS_PER_LOOK_MAX):
            try:
                self._library.nvmlEventSetWait_v2(self._events, 0)
            except pynvml.NVMLError:  # a timeout: there are no more
                break
            self._count += 1
        return self._count


def find_nvml() -> Nvml | None:
    """The machine's NVML, or None where it cannot be used."""
    try:
        return SystemNvml()
    except NvmlUnavailable:
        return None


def reason_names(reasons: int) -> frozenset[str]:
    """The names of NVML's bit mask; bits that have none here count as `other`."""
    known = {name for bit, name in THROTTLE_REASONS.items() if reasons & bit}
    rest = reasons & ~sum(THROTTLE_REASONS)
    return frozenset(known | ({"other"} if rest else set()))


def _ask(question: Callable[[], A]) -> A | None:
    """The answer, or None: unknown to this card, to its driver, or the card is lost."""
    try:
        return question()
    except pynvml.NVMLError:
        return None


def _scaled(question: Callable[[], float], factor: float) -> float | None:
    value = _ask(question)
    return None if value is None else value * factor


def _mega(question: Callable[[], float]) -> float | None:
    return _scaled(question, 1e6)
