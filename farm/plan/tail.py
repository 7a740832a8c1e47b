"""At a batch's tail: clips that an idle card would end sooner than the card that holds them.

The level algorithm (Horvath, Lam and Sethi, 1977): whatever would end last belongs on the fastest
card that is free. A clip yields at its next chunk boundary and goes on from its checkpoint, so a
move costs no chunk twice, but it costs time; only one that gains clearly more is made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GAIN_RESUMES: Final = 2.0
"""A move must gain so many times what it costs …"""
GAIN_PART: Final = 0.1
"""… and this part of the time that was left: measured paces differ by less between like cards."""


@dataclass(frozen=True, slots=True)
class Running:
    """A clip that a card holds."""

    clip_id: str
    card_id: str
    units: float
    """Cost of what is left of it, its chunk in render included."""
    pace: float
    """The card's seconds for a unit of cost."""
    ahead: float = 0.0
    """Cost of what the card renders before it begins this one; 0: it is at it."""
    chunk: float = 0.0
    """Cost of one of its chunks."""

    @property
    def seconds_left(self) -> float:
        """Until it ends where it is."""
        return (self.ahead + self.units) * self.pace


@dataclass(frozen=True, slots=True)
class Idle:
    """A card that holds nothing and could render the batch."""

    card_id: str
    pace: float


@dataclass(frozen=True, slots=True)
class Move:
    """A clip that yields, and the card that it is meant for."""

    clip_id: str
    from_card: str
    to_card: str


def moves(running: Sequence[Running], idle: Sequence[Idle], *, resume_seconds: float) -> list[Move]:
    """The moves that end a batch sooner, each idle card used once, the clip that ends last first.

    Called only when nothing waits that those cards could render. A move is never undone by the
    next call: the way back would have to gain too. It never makes the batch end later, for it is
    made only when the clip ends sooner, even counted from the end of the chunk in render.
    """
    found: list[Move] = []
    free = sorted(idle, key=lambda card: (card.pace, card.card_id), reverse=True)
    for clip in sorted(running, key=lambda clip: (-clip.seconds_left, clip.clip_id)):
        if not free:
            break
        fastest = free[-1]
        if _gains(clip, fastest, resume_seconds):
            found.append(Move(clip.clip_id, clip.card_id, fastest.card_id))
            free.pop()
    return found


def seconds_elsewhere(clip: Running, card: Idle, resume_seconds: float) -> float:
    """Until a clip would end on another card, which it joins after its chunk in render."""
    chunk = 0.0 if clip.ahead else min(clip.chunk, clip.units)
    return chunk * clip.pace + resume_seconds + (clip.units - chunk) * card.pace


def _gains(clip: Running, card: Idle, resume_seconds: float) -> bool:
    gain = clip.seconds_left - seconds_elsewhere(clip, card, resume_seconds)
    least = max(GAIN_RESUMES * resume_seconds, GAIN_PART * clip.seconds_left)
    return gain > 0 and gain >= least
