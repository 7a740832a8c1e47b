"""What is counted of one card beside what it says of itself: open frames, energy, idle time."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from heliostat.v1 import types_pb2 as types_pb

GAP_SECONDS_MAX: Final = 60.0
"""Of a card that was away for longer, nobody knows what its board did meanwhile."""
OPEN_CHUNKS: Final = 3
"""Chunks of a lane whose energy may be used and not reported: one in render, two on their way."""


@dataclass(slots=True)
class CardMeter:
    """Counters of one incarnation."""

    frames_open: int = 0
    """As of `CardRow`; below 0 while a chunk is recorded before its frames are heard of."""
    opened: dict[tuple[str, int], int] = field(default_factory=dict)
    """Of these, by clip and attempt, as the last exchange told."""
    project: str = ""
    """Whose clip it had last."""
    joules: float | None = None
    """Its board's counter, as of the last exchange; None where nothing measures it."""
    joules_open: float = 0.0
    """Of the counter's, what no chunk accounts for; below 0 where an estimate was too high."""
    round_joules: float = 0.0
    """Of its last chunk, with those in lockstep."""
    idle_seconds: float = 0.0
    """Online without a clip, not written down yet."""

    def hear(self, telemetry: types_pb.CardTelemetry, gap: float) -> None:
        """Note what the board has used since the last exchange, `gap` seconds ago.

        A counter that begins anew tells nothing, nor does a card that was away.
        """
        if not telemetry.HasField("energy_joules"):
            return
        before, self.joules = self.joules, telemetry.energy_joules
        if before is not None and gap <= GAP_SECONDS_MAX:
            self.joules_open += max(0.0, self.joules - before)

    def claim(self, joules: float, lanes: int = 0) -> None:
        """Of the board's energy, so much is a chunk's (with its lanes), or a lost attempt's."""
        if self.joules is not None:
            self.joules_open -= joules
            self.round_joules = joules * lanes or self.round_joules

    def take_idle(self, *, busy: bool) -> tuple[float, float]:
        """Seconds and joules without a clip since the last call.

        While the card is `busy`, what chunks under way may have used is kept back.
        """
        kept_back = OPEN_CHUNKS * self.round_joules if busy else 0.0
        joules = max(0.0, self.joules_open - kept_back)
        seconds, self.idle_seconds = self.idle_seconds, 0.0
        self.joules_open -= joules
        return seconds, joules
