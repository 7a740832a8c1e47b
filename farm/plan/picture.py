"""What of the farm a quote is made from, at one moment: the cards, what they hold, the queues.

The coordinator draws it from memory; whoever makes the quote has it to himself. Clips of a batch
are counted by work and chunks left, so that a million of them are a few numbers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from farm.domain.batch import Batch
from farm.domain.clip import Work
from farm.domain.fleet import CardFacts, Standing
from farm.domain.project import Project
from farm.plan.policy import Policy
from farm.plan.timing import Timing

ORDERED_MAX: Final = 1_000
"""Of more waiting clips, only the sizes are told, and not the order."""
Sizes = Mapping[tuple[Work, int], int]
"""(work, chunks left) → clips."""


@dataclass(frozen=True, slots=True)
class Held:
    """A clip that a card holds."""

    batch_id: str
    work: Work
    chunks_left: int
    started: bool
    """It is in render, and not waiting behind another."""
    seconds: float
    """Since it began, or since its last recorded chunk."""
    is_new: bool = False
    """None of its chunks was recorded on this card."""
    yielding: bool = False
    """The card is to give it up."""
    heard: bool = False
    """And was told so."""
    kept_for: str = ""
    """The card that has it next, where that is decided."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSeen:
    """A card that can be counted on."""

    facts: CardFacts
    standing: Standing
    schedule: str
    """Its node's hours; empty is always."""
    timing: Timing
    held: tuple[Held, ...] = ()
    silent: float = 0.0
    """Seconds since it was heard of."""
    spare: int = 1
    """Clips that it may hold beside those in render."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A clip that waits for a certain card."""

    batch_id: str
    work: Work
    chunks_left: int
    card_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchSeen:
    """A batch with clips that are not ended."""

    batch: Batch
    waiting: Sizes
    """Of its clips that no card holds, kept ones counted in."""
    order: tuple[tuple[Work, int], ...] = ()
    """The same one by one, first to last, as far as that is known."""
    qualities: tuple[str, ...] = ()
    urgent: float | None = None
    """Its deadline, where that is near and can be kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """The farm at `at`."""

    at: float
    """Unix seconds."""
    cards: tuple[CardSeen, ...]
    batches: tuple[BatchSeen, ...]
    """In the order in which they came."""
    projects: Mapping[str, Project]
    limits: Mapping[str, int]
    """Named limit → clips that may hold a card at once."""
    timing: Timing
    """Of all cards together."""
    waste: float
    """Attempts that were lost or failed, for each chunk that the farm has recorded."""
    policy: Policy = field(default_factory=Policy)
    kept: tuple[Kept, ...] = ()

    def batch(self, batch_id: str) -> BatchSeen | None:
        """One of them, or None."""
        return next((b for b in self.batches if b.batch.batch_id == batch_id), None)
