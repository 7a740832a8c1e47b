"""A batch: one submission. It stores what was decided; its progress is derived from its clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from farm.domain.clip import ClipState
from farm.domain.fleet import Needs
from farm.domain.quote import Quote, Spent


class BatchState(StrEnum):
    """What a person or a rule has decided."""

    OPEN = "open"
    PAUSED = "paused"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Order:
    """In which order a batch's clips go out."""

    every: int = 0
    """0: the longest first, so that the batch ends together. 1: as in the file. N: the first, the
    last and every N-th first, then the others as in the file."""

    def __str__(self) -> str:
        return {0: "longest", 1: "file"}.get(self.every, f"every {self.every}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a batch may cost; it is paused at the first of them that is reached."""

    money: float | None = None
    """In the farm's currency; None, here as below, is no limit."""
    hours: float | None = None
    """Of cards at work."""
    kilowatt_hours: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One submission."""

    batch_id: str
    name: str
    project: str
    priority: int = 0
    """Higher goes first."""
    created_at: float
    """Unix seconds."""
    state: BatchState = BatchState.OPEN
    reason: str = ""
    """Why it is paused or cancelled."""
    deadline: float | None = None
    """Unix seconds by which it should be done."""
    needs: Needs = field(default_factory=Needs)
    limits: tuple[str, ...] = ()
    """Named limits that its clips count against."""
    after: tuple[str, ...] = ()
    """Ids of batches that must have ended before its clips may begin."""
    first_look: bool = False
    """Each clip waits after its first chunk for a person."""
    order: Order = field(default_factory=Order)
    failures_max: int | None = None
    """Failed clips that pause it; 0 is never, None is the policy's share of its clips."""
    failures_forgiven: int = 0
    """Failed clips when it was last resumed: whoever did that knew of them, so they pause it no
    more."""
    output: str = ""
    """Template of its files' names; empty is the farm's own."""
    webhook: str = ""
    """Where notices of it are posted; empty is nowhere."""
    budget: Budget = field(default_factory=Budget)
    look: str = ""
    """The saved look that it keeps to."""
    deliver_to: str = ""
    """Where the gateway delivers its takes; empty is nowhere."""
    promise: Quote | None = None
    """What was quoted when it was submitted."""
    spent: Spent = field(default_factory=Spent)
    """As of the ledger when it was read."""
    ended_at: float | None = None
    """Unix seconds at which its last clip ended; old where clips are open again."""
    joins: str = ""
    """Of a submission: the batch that its clips become a part of; empty makes a batch."""


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """What has become of a batch's clips so far."""

    clips: Mapping[ClipState, int]
    """Clips in each state; a state without clips may be missing."""
    chunks: int = 0
    """Chunks of all clips that are not cancelled."""
    chunks_done: int = 0
    frames: int = 0
    """Frames of all clips that are not cancelled."""
    frames_delivered: int = 0

    @property
    def open_clips(self) -> int:
        """Clips that have not ended."""
        ended = (ClipState.DONE, ClipState.FAILED, ClipState.CANCELLED)
        return sum(n for state, n in self.clips.items() if state not in ended)


def cancelled(batch: Batch) -> str:
    """Why nothing can be decided of a batch that was called off."""
    return (
        f"batch {batch.batch_id} is cancelled: `farm retry {batch.batch_id} --cancelled` "
        "opens it again"
    )
