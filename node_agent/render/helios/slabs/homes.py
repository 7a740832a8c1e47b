"""A place for each tensor of a transformer, as a plan says, before any weight is read.

The stock transformer comes without memory (on the meta device). What is outside the blocks goes to
the device; each block is a slab, on the device or on the host; what a prompt meets once lives apart
from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from node_agent.render.helios.cross_attention import meets_prompt
from node_agent.render.helios.slabs.host import HostSlabs
from node_agent.render.helios.slabs.layout import Layout, tensors_of
from node_agent.render.helios.slabs.plan import Plan, Sizes
from node_agent.render.helios.slabs.sockets import Sockets
from node_agent.render.helios.slabs.streamer import Home, Streamer
from node_agent.render.helios.slabs.streams import OrderOn, order_on

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Parted:
    """The tensors of a stock transformer by where they may live; names are the transformer's."""

    fixed: dict[str, Tensor]
    blocks: tuple[dict[str, Tensor], ...]
    """By name within the block."""
    prompt: dict[str, Tensor]

    @classmethod
    def of(cls, stock: Any) -> Parted:
        """Of a transformer that has all its modules."""
        blocks: tuple[dict[str, Tensor], ...] = tuple({} for _ in stock.blocks)
        fixed, prompt = {}, {}
        for name, tensor in tensors_of(stock).items():
            if meets_prompt(name):
                prompt[name] = tensor
            elif name.startswith("blocks."):
                _, number, own_name = name.split(".", 2)
                blocks[int(number)][own_name] = tensor
            else:
                fixed[name] = tensor
        return cls(fixed, blocks, prompt)

    @property
    def sizes(self) -> Sizes:
        """Bytes, counted without making them."""
        return Sizes(
            fixed=sum(tensor.nbytes for tensor in self.fixed.values()),
            blocks=tuple(Layout.of(block).size for block in self.blocks),
            prompt=sum(tensor.nbytes for tensor in self.prompt.values()),
        )


class Homes:
    """The memory of a transformer's weights."""

    def __init__(self, stock: Any, plan: Plan, device: torch.device, *, page_locked: bool) -> None:
        """Take the memory, and have `stock` use it; weights are yet to be written.

        `page_locked` is what the host's slabs are for a GPU. Raises `ModelError` where the system
        refuses, before anything is read.
        """
        self._device = device
        self._plan = plan
        self._host = HostSlabs(page_locked=page_locked and device.type == "cuda")
        self._homes: dict[int, Home] = {}
        parted = Parted.of(stock)
        try:
            for number, block in enumerate(parted.blocks):
                self._settle_block(stock.blocks[number], number, block)
            _settle(stock, parted.fixed, device)
            _settle(stock, parted.prompt, device if plan.prompt_resident else CPU)
        except BaseException:
            self._host.close()
            raise

    def stream(self, transformer: Any, order_on: OrderOn = order_on) -> Streamer | None:
        """What brings the blocks in turn, once all weights are written; None where all stay.

        `transformer` is the stock one after `lean`. What has been put in a weight's place meanwhile
        goes into the slab.
        """
        if not self._homes:
            return None
        for number, home in self._homes.items():
            home.layout.write(home.slab, tensors_of(transformer.blocks[number]))
        slots = [_slab(self._plan.slot_bytes, self._device) for _ in range(self._plan.slots)]
        order = order_on(self._device, len(slots))
        return Streamer(transformer.blocks, self._homes, slots, order, self._host)

    def close(self) -> None:
        """Unlock the host's memory, where nothing is streamed from it."""
        self._host.close()

    def _settle_block(self, block: Any, number: int, tensors: Mapping[str, Tensor]) -> None:
        layout = Layout.of(tensors)
        if number in self._plan.streamed:
            slab = self._host.slab(layout.size)
            self._homes[number] = Home(layout, slab)
        else:
            slab = _slab(layout.size, self._device)
        _plug(block, layout.views(slab), tensors)


def settle_whole(stock: Any, device: torch.device) -> None:
    """Give every tensor of a transformer memory on one device."""
    _settle(stock, tensors_of(stock), device)


def _settle(stock: Any, tensors: Mapping[str, Tensor], device: torch.device) -> None:
    _plug(stock, {name: torch.empty_like(t, device=device) for name, t in tensors.items()}, tensors)


def _plug(module: Any, places: Mapping[str, Tensor], before: Mapping[str, Tensor]) -> None:
    """Have a module use `places`, with the numbers of what it already had memory for."""
    for name, tensor in before.items():
        if not tensor.is_meta:
            places[name].copy_(tensor)
    sockets = Sockets(module, places)
    sockets.plug(sockets.fitted(places))


def _slab(size: int, device: torch.device) -> Tensor:
    return torch.empty(size, dtype=torch.uint8, device=device)
