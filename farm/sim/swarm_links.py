"""Links that many transfers share, max-min fair: each gets as much as the next, or all it can."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

SLACK = 1.02
"""Links that are full at nearly the same rate are taken as full at the lowest of them."""
_FIRST_ROOM = 1024

T = TypeVar("T", bound=Hashable)


class Links(Generic[T]):
    """One link for each node, full duplex."""

    def __init__(self, speeds: Sequence[float]) -> None:
        """Bytes a second, each way."""
        self._nodes = len(speeds)
        self._speeds = np.array([*speeds, *speeds], dtype=np.float64)
        self._sent = np.zeros(self._nodes)
        room = _FIRST_ROOM
        self._from = np.zeros(room, dtype=np.int64)
        self._to = np.zeros(room, dtype=np.int64)
        self._left = np.zeros(room)
        self._going = np.zeros(room, dtype=bool)
        self._what: list[T | None] = [None] * room
        self._free = list(range(room - 1, -1, -1))
        self._flows: NDArray[Any] = np.zeros(0, dtype=np.int64)
        self._rates: NDArray[Any] = np.zeros(0)

    def open(self, giver: int, taker: int, size: int, what: T) -> int:
        """Begin to send `size` bytes; `advance` says `what` when they are there."""
        if not self._free:
            self._grow()
        flow = self._free.pop()
        self._from[flow], self._to[flow], self._left[flow] = giver, taker + self._nodes, size
        self._going[flow], self._what[flow] = True, what
        return flow

    def stall(self, flow: int) -> None:
        """No byte of it comes any more; it is to be closed."""
        self._going[flow] = False

    def close(self, flow: int) -> None:
        """It is done, or void."""
        self._going[flow], self._what[flow] = False, None
        self._free.append(flow)

    def sent(self, node: int) -> float:
        """Bytes that a node has sent so far, those of void transfers too."""
        return float(self._sent[node])

    def step_seconds(self, least: float, most: float) -> float:
        """Until the first transfer ends, within bounds. Shares the links out anew."""
        self._flows = np.flatnonzero(self._going)
        self._rates = self._fair(self._from[self._flows], self._to[self._flows])
        if not self._flows.size:
            return most
        first = float((self._left[self._flows] / self._rates).min())
        return min(max(first, least), most)

    def advance(self, seconds: float) -> list[T]:
        """Let time pass at the rates of `step_seconds`. Returns what has arrived."""
        flows = self._flows
        moved = np.minimum(self._rates * seconds, self._left[flows])
        self._left[flows] -= moved
        self._sent += np.bincount(self._from[flows], weights=moved, minlength=self._nodes)
        done = (self._what[flow] for flow in flows[self._left[flows] <= 1e-6])
        return [what for what in done if what is not None]

    def _fair(self, givers: NDArray[Any], takers: NDArray[Any]) -> NDArray[Any]:
        """Progressive filling: rates grow alike until a link is full, whose transfers keep theirs.

        Bertsekas and Gallager, Data Networks, 6.5.2.
        """
        room, links = self._speeds.copy(), self._speeds.size
        rates, growing = np.zeros(givers.size), np.ones(givers.size, dtype=bool)
        while growing.any():
            load = np.bincount(givers[growing], minlength=links)
            load += np.bincount(takers[growing], minlength=links)
            share = np.where(load > 0, room / np.maximum(load, 1), np.inf)
            lowest = share.min()
            full = share <= lowest * SLACK
            fixed = growing & (full[givers] | full[takers])
            rates[fixed] = lowest
            used = np.bincount(givers[fixed], minlength=links)
            used += np.bincount(takers[fixed], minlength=links)
            room -= lowest * used
            growing &= ~fixed
        return rates

    def _grow(self) -> None:
        room = len(self._what)
        for name in ("_from", "_to", "_left", "_going"):
            array = getattr(self, name)
            setattr(self, name, np.concatenate([array, np.zeros_like(array)]))
        self._what += [None] * room
        self._free = list(range(2 * room - 1, room - 1, -1))
