"""What people say of takes: approved, rejected, and why. Not a state of rendering."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What a review comes to."""

    APPROVED = "approved"
    REJECTED = "rejected"


EVENT = "review"
"""The kind of a review's event; the clip is DONE before it and after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """What somebody said of one clip's take; the latest counts, and no later version has it."""

    clip_id: str
    batch_id: str
    verdict: Verdict
    note: str = ""
    reviewer: str
    at: float
    """Unix seconds."""
    attempt: int = 0
    """The clip's last one, for its history; 0 where it is not asked for."""

    @property
    def told(self) -> str:
        """For the clip's history."""
        said = f"{self.verdict} by {self.reviewer}"
        return f"{said}: {self.note}" if self.note else said


@dataclass(frozen=True, slots=True)
class ReviewCounts:
    """Takes of a batch by what was said of them; only latest versions count."""

    awaiting: int = 0
    approved: int = 0
    rejected: int = 0
