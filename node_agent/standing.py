"""A card that is told to stand aside frees its GPU, and takes it again when it may."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

from heliostat.v1 import types_pb2 as types_pb
from node_agent.engine import Engine

RESTING: Final = frozenset({types_pb.STANDING_PAUSED, types_pb.STANDING_DRAINING})
"""Standings in which the GPU is another's: its owner's, or nobody's."""


class Rest:
    """Whether a card's render child runs, by its standing and by what it holds."""

    def __init__(
        self,
        engine: Engine,
        idle_unload_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A paused card keeps its child for `idle_unload_seconds` more; a draining one ends it."""
        self._engine = engine
        self._patience_seconds = idle_unload_seconds
        self._clock = clock
        self._idle_since: float | None = None

    def heed(self, standing: types_pb.Standing.ValueType, *, idle: bool) -> float:
        """Have the child run, or not; `idle` says that nothing is held and nothing is to tell.

        Returns the seconds after which it wants to be asked again, if nothing happens before.
        """
        if standing not in RESTING or not idle:
            self._idle_since = None
            self._engine.wake()
            return math.inf
        if self._idle_since is None:
            self._idle_since = self._clock()
        patience = 0.0 if standing == types_pb.STANDING_DRAINING else self._patience_seconds
        left = self._idle_since + patience - self._clock()
        if left > 0:
            return left
        self._engine.rest()
        return math.inf
