"""Blocks that visit the device, in turn, through a few slots.

The slots are filled ahead, in the order in which blocks have always been used: after the last block
of a pass comes the first of the next one, whichever chunk or clip that belongs to. Where another
block is asked for, because a pass was broken off, what was fetched for nothing is forgotten, and
fetching begins anew from that block.
"""

from __future__ import annotations

import weakref
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from node_agent.render.helios.slabs.host import HostSlabs
from node_agent.render.helios.slabs.layout import Layout
from node_agent.render.helios.slabs.sockets import Sockets
from node_agent.render.helios.slabs.streams import Order


class BlockWeights(Protocol):
    """Has a block's weights on the device while it is at work."""

    def block(self, number: int) -> AbstractContextManager[None]:
        """The weights of block `number` are there within this `with` block."""
        ...


class AllResident:
    """All weights are always there."""

    def block(self, number: int) -> AbstractContextManager[None]:
        """See `BlockWeights`."""
        del number
        return nullcontext()


@dataclass(frozen=True, slots=True)
class Home:
    """A block's weights on the host."""

    layout: Layout
    slab: Tensor


class _Visitor:
    """A block that is streamed."""

    def __init__(self, block: nn.Module, home: Home, slots: Sequence[Tensor]) -> None:
        self.home = home
        self.rooms = [slot[: home.layout.size] for slot in slots]
        """The part of each slot that it takes."""
        self._sockets = Sockets(block, home.layout.places)
        self._at_home, *self._in_slots = (
            self._sockets.fitted(home.layout.views(slab)) for slab in (home.slab, *self.rooms)
        )

    def settle(self, slot: int) -> None:
        """Use the weights in a slot."""
        self._sockets.plug(self._in_slots[slot])

    def go_home(self) -> None:
        """Use those at home: an arithmetic that forgot to ask fails, instead of being wrong."""
        self._sockets.plug(self._at_home)


class Streamer:
    """Implements `BlockWeights` for blocks of which some are streamed."""

    def __init__(
        self,
        blocks: Sequence[nn.Module],
        homes: Mapping[int, Home],
        slots: Sequence[Tensor],
        order: Order,
        host: HostSlabs,
    ) -> None:
        """`homes` are those of the streamed blocks, by number, in slabs of `host`; one at least.

        `slots` are slabs on the device, each large enough for every streamed block. Fetching begins
        at once.
        """
        self._turns = {number: turn for turn, number in enumerate(sorted(homes))}
        self._visitors = [_Visitor(blocks[each], homes[each], slots) for each in self._turns]
        self._order = order
        self._free = deque(range(len(slots)))
        self._fetched: deque[tuple[int, int]] = deque()
        """Turns and their slots, in the order of their use, arrived or under way."""
        self._next = 0
        # Also where nobody closes: no memory may become another's under a copy.
        self._finish = weakref.finalize(self, _finish, order, list(slots), host)
        for visitor in self._visitors:
            visitor.go_home()
        self._fetch()

    def block(self, number: int) -> AbstractContextManager[None]:
        """See `BlockWeights`."""
        turn = self._turns.get(number)
        return nullcontext() if turn is None else self._visit(turn)

    def close(self) -> None:
        """Wait for the copies that are under way, and unlock the host's memory; the last call."""
        self._finish()

    @contextmanager
    def _visit(self, turn: int) -> Iterator[None]:
        slot, visitor = self._take(turn), self._visitors[turn]
        try:
            self._order.arrive(slot)
            visitor.settle(slot)
            yield
        finally:  # what was asked for before an error may still be running
            visitor.go_home()
            self._order.used(slot)
            self._free.append(slot)
            self._fetch()

    def _take(self, turn: int) -> int:
        """The slot that this block is fetched into."""
        while self._fetched and self._fetched[0][0] != turn:
            self._free.append(self._fetched.popleft()[1])
        if not self._fetched:
            if not self._free:
                raise RuntimeError("more blocks are at work at a time than there are slots")
            self._next = turn
            self._fetch()
        return self._fetched.popleft()[1]

    def _fetch(self) -> None:
        """Fill the free slots with the blocks that come next."""
        while self._free:
            slot, visitor = self._free.popleft(), self._visitors[self._next]
            self._order.copy(slot, visitor.rooms[slot], visitor.home.slab)
            self._fetched.append((self._next, slot))
            self._next = (self._next + 1) % len(self._visitors)


def _finish(order: Order, slots: list[Tensor], host: HostSlabs) -> None:
    """The slots are only held until here."""
    order.finish()
    slots.clear()
    host.close()
