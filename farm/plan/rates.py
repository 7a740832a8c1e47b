"""How fast something happens, over a sliding window. Time is an argument."""

from __future__ import annotations

from collections import deque
from typing import Final

BUCKET_SECONDS: Final = 1.0
"""Resolution: what happens within one second is counted together, so memory has a limit."""


class RateMeter:
    """Counts what happens and says how much of it happens per second.

    A meter younger than its window divides by its age, so it tells the truth from the start
    instead of climbing for a minute. It is born at `started`, or else with the first call; what
    is added by that very call took a time that nobody knows, and so does not count. Every `now`
    is of one monotonic clock.
    """

    __slots__ = ("_buckets", "_started", "window_seconds_max")

    def __init__(self, started: float | None = None, *, window_seconds_max: float = 60.0) -> None:
        if window_seconds_max < BUCKET_SECONDS:
            raise ValueError(f"a window of {window_seconds_max} s is shorter than one bucket")
        self.window_seconds_max = window_seconds_max
        self._started = started
        self._buckets: deque[tuple[float, float]] = deque()

    def add(self, now: float, count: float) -> None:
        """`count` of it have happened by `now`."""
        if self._started is None:
            self._started = now
            return
        if self._buckets and now - self._buckets[-1][0] < BUCKET_SECONDS:
            at, before = self._buckets[-1]
            self._buckets[-1] = (at, before + count)
        else:
            self._buckets.append((now, count))
        self._forget(now)

    def rate(self, now: float, window: float = 60.0) -> float:
        """Per second, over the last `window` seconds or as long as the meter exists."""
        if not 0 < window <= self.window_seconds_max:
            raise ValueError(f"window of {window} s: this meter keeps {self.window_seconds_max} s")
        if self._started is None:
            self._started = now
        self._forget(now)
        counted = sum(count for at, count in self._buckets if at > now - window)
        elapsed = min(window, max(now - self._started, BUCKET_SECONDS))
        return counted / elapsed

    def _forget(self, now: float) -> None:
        while self._buckets and self._buckets[0][0] <= now - self.window_seconds_max:
            self._buckets.popleft()
