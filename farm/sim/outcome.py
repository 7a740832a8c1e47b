"""What a simulation is given, and what it came to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from farm.domain.clip import ClipState
from farm.domain.quote import Quote, Spent
from farm.domain.spec import NewClip
from farm.sim.card import SimCard
from farm.sim.world import Record


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A batch, and when it is submitted."""

    name: str
    clips: Sequence[NewClip]
    project: str = "default"
    priority: int = 0
    at: float = 0.0
    """Virtual seconds."""
    deadline: float | None = None
    """Virtual seconds."""
    first_look: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a simulation came to."""

    finished: bool
    """Every clip has ended."""
    stuck: str
    """Why nothing can go on without a person; empty: it can, or all has ended."""
    finish_seconds: float
    """Virtual, until the last clip ended, or until time was up."""
    states: dict[ClipState, int]
    batches: dict[str, str]
    """Batch id → name."""
    finish_by_batch: dict[str, float]
    """Batch id → virtual seconds at which its last clip ended; those that have not are missing."""
    record: Record
    cards: list[SimCard]
    epoch: int
    """Of the last coordinator."""
    problems: list[str]
    """What the oracle found in the books, and leases that the coordinator still counts."""
    spent: dict[str, Spent]
    """By batch id."""
    quotes: dict[str, tuple[float, Quote]]
    """Batch id → virtual seconds at its submission, and its quote; where they were asked for."""
    wall_seconds: float
    events: int
    """Calls on the virtual timeline."""

    @property
    def busy_seconds(self) -> float:
        """Card seconds of rendering."""
        return sum(self.record.busy.values())

    @property
    def utilisation(self) -> float:
        """Share of all card seconds that went into rendering."""
        return self.busy_seconds / max(1e-9, self.finish_seconds * len(self.cards))

    @property
    def idle_share(self) -> float:
        """Share of all card seconds in which a ready card had nothing while clips waited."""
        return self.record.idle_seconds / max(1e-9, self.finish_seconds * len(self.cards))

    @property
    def idle_share_of_waiting(self) -> float:
        """The same of those card seconds only in which clips waited."""
        return self.record.idle_seconds / max(1e-9, self.record.waiting_seconds * len(self.cards))
