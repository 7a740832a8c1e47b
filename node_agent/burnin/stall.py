"""Notices a card that hangs: its driver never returns, so nothing else in the process would."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

SECONDS_FIRST: Final = 1800.0
"""Before two chunks are done: kernels may have to be compiled."""
SECONDS_MIN: Final = 120.0
MULTIPLE: Final = 10.0
"""Of the longest time between two chunks so far."""


class StallWatch:
    """Calls `stalled` with the seconds of silence, once, when no chunk has come for too long."""

    def __init__(
        self, stalled: Callable[[float], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """The silence begins now; `clock` gives monotonic seconds."""
        self._stalled = stalled
        self._clock = clock
        self._at = clock()
        self._beats = 0
        self._longest = 0.0
        self._closed = threading.Event()

    def start(self) -> None:
        """Look every second, in a thread of its own."""
        threading.Thread(target=self._run, name="burn-in-stall", daemon=True).start()

    def close(self) -> None:
        """Look no more."""
        self._closed.set()

    def beat(self) -> None:
        """A chunk is done."""
        now = self._clock()
        if self._beats:
            self._longest = max(self._longest, now - self._at)
        self._beats += 1
        self._at = now

    def check(self) -> bool:
        """Whether it hangs; says so to `stalled`."""
        silent = self._clock() - self._at
        allowed = max(SECONDS_MIN, MULTIPLE * self._longest) if self._longest else SECONDS_FIRST
        if silent <= allowed:
            return False
        self._stalled(silent)
        return True

    def _run(self) -> None:
        while not self._closed.wait(1.0):
            if self.check():
                return
