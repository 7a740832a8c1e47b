"""What people are told of a batch without asking: which of its events are notices, of what kind.

A notice is written with the event that it tells of, in the same transaction, so none is lost and
none tells of what did not happen.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class NoticeKind(StrEnum):
    """The last part of a CloudEvents type, after `ai.heliostat.batch.`."""

    DONE = "done"
    """Every clip has ended, none of them failed."""
    FAILED = "failed"
    """Every clip has ended, some of them failed."""
    PAUSED = "paused"
    """A person or a rule paused it."""
    RESUMED = "resumed"
    CANCELLED = "cancelled"
    BUDGET_REACHED = "budget_reached"
    """It is paused, for its budget is spent."""
    DEADLINE_AT_RISK = "deadline_at_risk"
    """On today's fleet it will not be done in time."""
    DEADLINE_KEPT = "deadline_kept"
    """It was at risk, and is no more."""


_BY_EVENT: Final = {
    "done": NoticeKind.DONE,
    "failed": NoticeKind.FAILED,
    "pause": NoticeKind.PAUSED,
    "resume": NoticeKind.RESUMED,
    "cancel": NoticeKind.CANCELLED,
    "budget": NoticeKind.BUDGET_REACHED,
    "deadline": NoticeKind.DEADLINE_AT_RISK,
    "deadline_kept": NoticeKind.DEADLINE_KEPT,
}


def notice_kind(event: str) -> NoticeKind | None:
    """The notice of a batch's event of this kind; None for events that nobody is told of."""
    return _BY_EVENT.get(event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing to tell, to every place that wants to hear of it."""

    number: int
    """Grows with every notice of the farm."""
    kind: NoticeKind
    batch_id: str
    detail: str
    """For a person."""
    at: float
    """Unix seconds of the event."""
    tries: int = 0
    settled: tuple[str, ...] = ()
    """Places that have heard it, or were given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NoticeOutcome:
    """What became of a notice that was sent."""

    number: int
    settled: tuple[str, ...] = field(default=())
    """All places that have heard it by now, or were given up."""
    ended: bool = False
    """Nobody is left to tell."""
    retry_at: float = 0.0
    """Unix seconds of the next try, where somebody is."""
    error: str = ""
    """Why the last try failed."""
