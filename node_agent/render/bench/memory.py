"""The peaks of GPU and host memory while something runs, as the driver and the system see them.

torch's own count knows neither what other streams still hold nor what the driver takes for itself.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Self

import psutil
import torch

from node_agent.render.bench.figures import Record

SAMPLE_SECONDS = 0.01
RAM_EVERY = 10
"""Samples between two looks at the machine's memory, which take a sixth of a millisecond."""


def vram_used(device: torch.device) -> int:
    """Bytes of a GPU's memory in use, by all processes and the driver."""
    free, total = torch.cuda.mem_get_info(device)
    return total - free


def ram_used() -> int:
    """Bytes of the host's memory in use, by all processes; what is cached of files is free."""
    memory = psutil.virtual_memory()
    return memory.total - memory.available


class MemoryWatch:
    """Samples memory in a thread of its own while its `with` block lasts."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._process = psutil.Process()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="memory", daemon=True)
        self.bytes_rss_peak = 0
        """Host memory of this process."""
        self.bytes_vram_peak = 0
        """Memory in use on the GPU, also by others; 0 without one."""
        self.bytes_ram_peak = 0
        """Host memory in use, by all; page-locked memory may be in no process's own."""

    def __enter__(self) -> Self:
        self._sample()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()
        self._sample()

    def record(self) -> Record:
        """The peaks; no field for memory that the device does not have."""
        peaks = {"bytes_rss_peak": self.bytes_rss_peak}
        if self._device.type == "cuda":
            peaks["bytes_vram_peak"] = self.bytes_vram_peak
        return peaks

    def _watch(self) -> None:
        samples = 0
        while not self._ended.wait(SAMPLE_SECONDS):
            samples += 1
            self._sample(ram=samples % RAM_EVERY == 0)

    def _sample(self, *, ram: bool = True) -> None:
        self.bytes_rss_peak = max(self.bytes_rss_peak, self._process.memory_info().rss)
        if ram:
            self.bytes_ram_peak = max(self.bytes_ram_peak, ram_used())
        if self._device.type == "cuda":
            self.bytes_vram_peak = max(self.bytes_vram_peak, vram_used(self._device))
