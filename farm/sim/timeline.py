"""Virtual time: what is to happen, in order, and the two clocks that the farm reads."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

WALL_START: Final = 1_700_000_000.0
"""Unix seconds of the beginning, where nobody names another."""

Call = Callable[[], None]


class Timeline:
    """A queue of calls by time; of equal times the one that was planned first goes first.

    It is the farm's `Clock` as well. Virtual seconds start at 0 and only grow; the wall clock can
    be stepped, as a machine's is when somebody sets it.
    """

    def __init__(self, wall_start: float = WALL_START) -> None:
        self._calls: list[tuple[float, int, Call]] = []
        self._planned = 0
        self._seconds = 0.0
        self._wall = wall_start
        self.happened = 0
        """Calls made so far."""

    def now(self) -> float:
        """Unix seconds, as the wall clock has them."""
        return self._wall + self._seconds

    def monotonic(self) -> float:
        """Virtual seconds."""
        return self._seconds

    def step_wall(self, seconds: float) -> None:
        """Set the wall clock forward, or back."""
        self._wall += seconds

    def at(self, when: float, call: Call) -> None:
        """Plan a call for a virtual second; one that has passed is now."""
        self._planned += 1
        heapq.heappush(self._calls, (max(when, self._seconds), self._planned, call))

    def after(self, seconds: float, call: Call) -> None:
        """Plan a call for so many seconds from now."""
        self.at(self._seconds + seconds, call)

    def run(self, until: float) -> bool:
        """Let time pass up to virtual second `until`. False when nothing is planned any more."""
        calls = self._calls
        while calls and calls[0][0] <= until:
            self._seconds, _, call = heapq.heappop(calls)
            self.happened += 1
            call()
        if calls:
            self._seconds = max(self._seconds, until)
        return bool(calls)
