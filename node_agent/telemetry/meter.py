"""Joules of a card's board: by its own counter, or by sampling its power."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Literal

from node_agent.telemetry.nvml import Nvml, find_nvml
from node_agent.telemetry.visible import nvml_index

SAMPLES_PER_SECOND: Final = 20.0
"""Of power; at least 10 are promised (OBS-5)."""

GAP_SECONDS_MAX: Final = 2.0
"""Between samples further apart than this (a suspended machine, a driver that hung) nothing is
known, and nothing is counted."""


class CounterSum:
    """Joules from a counter that may start anew when its driver is loaded again."""

    def __init__(self) -> None:
        self.joules = 0.0
        self._last: float | None = None

    def add(self, reading: float | None) -> None:
        """A reading of the counter, joules; None changes nothing: the next one catches up."""
        if reading is None:
            return
        if self._last is not None:
            # What a counter lost before it began at zero again, nobody knows.
            self.joules += reading - self._last if reading >= self._last else reading
        self._last = reading


class PowerIntegral:
    """Joules from samples of power, by the trapezoid rule."""

    def __init__(self) -> None:
        self.joules = 0.0
        self.gap_seconds = 0.0
        """Time of which nothing is known, and nothing counted."""
        self._last: tuple[float, float] | None = None

    def add(self, now: float, watts: float | None) -> None:
        """A sample at `now`, monotonic seconds; None changes nothing."""
        if watts is None:
            return
        if self._last is not None:
            then, before = self._last
            if now - then <= GAP_SECONDS_MAX:
                self.joules += (now - then) * (watts + before) / 2
            else:
                self.gap_seconds += now - then
        self._last = (now, watts)


class EnergyMeter:
    """Joules since it was made. The board alone: neither the host nor its power supply's loss."""

    def __init__(
        self, nvml: Nvml, index: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """A meter of NVML's card `index`. Raises ValueError for a card that can tell neither."""
        self._nvml = nvml
        self._index = index
        self._clock = clock
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._counter = CounterSum()
        self._power = PowerIntegral()
        self._thread: threading.Thread | None = None
        if nvml.energy_joules(index) is not None:
            self.method: Literal["counter", "sampled"] = "counter"
        elif nvml.power_watts(index) is not None:
            self.method = "sampled"
            self._thread = threading.Thread(target=self._run, name="energy-meter", daemon=True)
        else:
            raise ValueError(f"card {index} has neither an energy counter nor a power sensor")
        self._read()
        if self._thread is not None:
            self._thread.start()

    @classmethod
    def for_device(
        cls,
        device: str,
        *,
        nvml: Nvml | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> EnergyMeter | None:
        """The meter of `cuda:N`; None for a CPU, and where nothing can be read."""
        if not device.startswith("cuda"):
            return None
        nvml = nvml or find_nvml()
        index = None if nvml is None else nvml_index(device, nvml.cards(), environment)
        if nvml is None or index is None:
            return None
        try:
            return cls(nvml, index)
        except ValueError:
            return None

    @property
    def gap_seconds(self) -> float:
        """Time of which nothing is known; always 0 with a counter."""
        return self._power.gap_seconds

    def read(self) -> float:
        """Joules up to now; never less than before. The difference of two is what lay between."""
        return self._read()

    def close(self) -> None:
        """Sample no more."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join(timeout=GAP_SECONDS_MAX)  # it may be stuck in the driver

    def _read(self) -> float:
        with self._lock:
            if self.method == "counter":
                self._counter.add(self._nvml.energy_joules(self._index))
                return self._counter.joules
            self._power.add(self._clock(), self._nvml.power_watts(self._index))
            return self._power.joules

    def _run(self) -> None:
        while not self._closed.wait(1 / SAMPLES_PER_SECOND):
            self._read()
