"""Notices a render child that hangs: in the midst of a clip, and no chunk for too long (REL-6)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from node_agent.outbox import AttemptKey


@dataclass(frozen=True, slots=True, kw_only=True)
class StallLimits:
    """When a child that reports no chunk is taken for hung (REL-6)."""

    multiple: float = 10.0
    """Of the longest chunk time seen on this card."""
    seconds_min: float = 120.0
    seconds_first: float = 1800.0
    """Before this card has rendered a chunk: kernels may have to be compiled."""


class Progress:
    """What the child has in hand, and how long nothing has come of it."""

    def __init__(
        self, limits: StallLimits | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """`clock` gives monotonic seconds."""
        self._limits = limits or StallLimits()
        self._clock = clock
        self._at = clock()
        self._rendering: set[AttemptKey] = set()
        self._unrecorded: set[tuple[AttemptKey, int]] = set()
        self._chunk_seconds_max = 0.0

    def begin(self) -> None:
        """Another child: nothing is in hand."""
        self._rendering.clear()
        self._unrecorded.clear()

    def started(self, key: AttemptKey) -> None:
        """A clip was begun."""
        self._rendering.add(key)
        self._at = self._clock()

    def made(self, key: AttemptKey, chunk: int, seconds: float) -> None:
        """A chunk came; `seconds` is what the card was busy with it and with its companions."""
        self._unrecorded.add((key, chunk))
        self._chunk_seconds_max = max(self._chunk_seconds_max, seconds)
        self._at = self._clock()

    def recorded(self, key: AttemptKey, chunk: int) -> None:
        """A chunk is safe: the child may go on."""
        self._unrecorded.discard((key, chunk))
        self._at = self._clock()

    def ended(self, key: AttemptKey) -> None:
        """The child is done with a clip."""
        self._rendering.discard(key)

    def dropped(self, key: AttemptKey) -> None:
        """Nobody will record a clip's chunks any more."""
        self._unrecorded = {entry for entry in self._unrecorded if entry[0] != key}

    def stalled_seconds(self, unrecorded_max: int) -> float | None:
        """How long it has been silent, once that is too long; None while all is well.

        With `unrecorded_max` chunks unrecorded it waits for the farm, and is not to blame.
        """
        if not self._rendering or len(self._unrecorded) >= unrecorded_max:
            return None
        silent = self._clock() - self._at
        return silent if silent > self.allowed_seconds() else None

    def allowed_seconds(self) -> float:
        """Silence after which the child is taken for hung."""
        if self._chunk_seconds_max == 0.0:
            return self._limits.seconds_first
        return max(self._limits.seconds_min, self._limits.multiple * self._chunk_seconds_max)
