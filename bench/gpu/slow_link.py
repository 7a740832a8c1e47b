"""Every copy of weights to the device N times: a slower link, on a machine that has a fast one.

What a chunk takes besides (noise, prompts, latents: a few megabytes) is not repeated.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from diffusers.hooks.group_offloading import ModuleGroup
from torch import Tensor

from node_agent.render.helios.slabs.streams import Order, order_on

SLOW_BYTES_PER_SECOND: Final = 13e9
"""PCIe 4.0 x8, as copies reach it."""


class Link:
    """How often each copy is made, now."""

    def __init__(self) -> None:
        self.times = 1

    @contextmanager
    def slowed(self, times: int) -> Iterator[None]:
        """Each copy is made so often within this `with` block."""
        self.times = times
        try:
            yield
        finally:
            self.times = 1

    def order_on(self, device: torch.device, slots: int) -> Order:
        """The order of a device, over this link."""
        return _Repeated(order_on(device, slots), self)


class _Repeated:
    """An order whose copies are repeated; implements `Order`."""

    def __init__(self, order: Order, link: Link) -> None:
        self._order = order
        self._link = link
        self.arrive, self.used, self.finish = order.arrive, order.used, order.finish

    def copy(self, slot: int, target: Tensor, source: Tensor) -> None:
        """See `Order`."""
        for _ in range(self._link.times):
            self._order.copy(slot, target, source)


@contextmanager
def group_offloading_over(link: Link) -> Iterator[None]:
    """diffusers' group offloading copies over this link within this `with` block."""
    once = ModuleGroup._transfer_tensor_to_device

    def repeated(group: Any, tensor: Tensor, source: Tensor, stream: Any) -> None:
        for _ in range(link.times - 1):
            extra = torch.empty_like(source, device=group.onload_device)
            extra.copy_(source, non_blocking=group.non_blocking)
        once(group, tensor, source, stream)

    ModuleGroup._transfer_tensor_to_device = repeated
    try:
        yield
    finally:
        ModuleGroup._transfer_tensor_to_device = once
