"""The order between copies into slots and the arithmetic that uses them.

On a GPU both are only asked for by the host, and run later, beside each other. Each waits for the
other by events that the device itself watches; the host waits for neither.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor


class Order(Protocol):
    """What runs after what. Copies into one slot run in the order in which they are asked for."""

    def copy(self, slot: int, target: Tensor, source: Tensor) -> None:
        """Fill a slot, once the arithmetic that has used it is over; returns at once."""
        ...

    def arrive(self, slot: int) -> None:
        """Arithmetic that is asked for from now on runs after the copies into this slot."""
        ...

    def used(self, slot: int) -> None:
        """Arithmetic that has been asked for may use this slot; later copies run after it."""
        ...

    def finish(self) -> None:
        """Wait for all copies: memory may be taken away after it."""
        ...


class InTurn:
    """Copies run when they are asked for, as everything on a CPU."""

    def copy(self, slot: int, target: Tensor, source: Tensor) -> None:
        """See `Order`."""
        del slot
        target.copy_(source)

    def arrive(self, slot: int) -> None:
        """See `Order`."""

    def used(self, slot: int) -> None:
        """See `Order`."""

    def finish(self) -> None:
        """See `Order`."""


class CudaStreams:
    """Copies run on a stream of their own, beside the current one."""

    def __init__(self, device: torch.device, slots: int) -> None:
        """Memory that the slots take over from earlier tensors is theirs after these are done."""
        self._device = device
        self._copies = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
        self._arrived = [_event() for _ in range(slots)]
        self._used = [_event() for _ in range(slots)]
        for slot in range(slots):
            self.used(slot)

    def copy(self, slot: int, target: Tensor, source: Tensor) -> None:
        """See `Order`."""
        self._copies.wait_event(self._used[slot])
        with torch.cuda.stream(self._copies):
            target.copy_(source, non_blocking=True)
        self._arrived[slot].record(self._copies)

    def arrive(self, slot: int) -> None:
        """See `Order`."""
        torch.cuda.current_stream(self._device).wait_event(self._arrived[slot])

    def used(self, slot: int) -> None:
        """See `Order`."""
        self._used[slot].record(torch.cuda.current_stream(self._device))

    def finish(self) -> None:
        """See `Order`."""
        self._copies.synchronize()


def _event() -> torch.cuda.Event:
    return torch.cuda.Event()  # type: ignore[no-untyped-call]


OrderOn = Callable[[torch.device, int], Order]
"""Makes the order of a device with so many slots."""


def order_on(device: torch.device, slots: int) -> Order:
    """The order of a device."""
    return CudaStreams(device, slots) if device.type == "cuda" else InTurn()
