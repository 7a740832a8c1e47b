"""A device beside its host: copies that neither waits for, and the device's clock.

On a GPU all work is only asked for by the host, and done later. An ordinary copy would make the
host wait until all work before it is done, and the GPU then wait for the host. From page-locked
memory it does not: PyTorch keeps such memory for the next copy, rounded up to a power of two.
"""

from __future__ import annotations

import torch
from torch import Tensor

from node_agent.render.work_clock import Marks, WallClock


class Card:
    """Copies to and from a device."""

    def __init__(self, device: torch.device, *, page_locked: bool = True) -> None:
        """Without `page_locked` memory copies are right, but waited for."""
        self.device = device
        self._page_locked = page_locked and device.type == "cuda"
        self._copies: torch.cuda.Stream | None = None
        """Where copies to the host run, beside the work that comes after."""

    def bring(self, tensor: Tensor) -> Tensor:
        """A tensor of the host, on the device for all work that is asked for from now on."""
        if self._page_locked:
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def fetch(self, tensor: Tensor) -> Fetched:
        """Begin to copy a tensor of the device to the host, once the work before is done."""
        if not self._page_locked:
            return Fetched(tensor.cpu(), None)
        if self._copies is None:
            self._copies = torch.cuda.Stream(self.device)  # type: ignore[no-untyped-call]
        here = torch.empty_like(tensor, device="cpu", pin_memory=True)
        self._copies.wait_stream(torch.cuda.current_stream(self.device))
        with torch.cuda.stream(self._copies):
            here.copy_(tensor, non_blocking=True)
            tensor.record_stream(self._copies)
            arrived = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            arrived.record(self._copies)
        return Fetched(here, arrived)


class Fetched:
    """A tensor on its way to the host. Who drops it need not wait."""

    def __init__(self, here: Tensor, arrived: torch.cuda.Event | None) -> None:
        self._here = here
        self._arrived = arrived

    def wait(self) -> Tensor:
        """The tensor, once it is there, for any thread. Raises what the work before threw."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return self._here


class CudaMarks:
    """Events among a GPU's work (`work_clock.Marks`)."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def now(self) -> torch.cuda.Event:
        """See `Marks`."""
        event = torch.cuda.Event(enable_timing=True, blocking=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self._device))
        return event

    def between(self, earlier: torch.cuda.Event, later: torch.cuda.Event) -> float:
        """See `Marks`."""
        later.synchronize()
        return float(earlier.elapsed_time(later)) / 1000

    def reach(self, mark: torch.cuda.Event) -> None:
        """See `Marks`."""
        mark.synchronize()


def marks_of(device: torch.device) -> Marks:
    """The clock of a device."""
    return CudaMarks(device) if device.type == "cuda" else WallClock()
