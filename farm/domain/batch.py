"""A batch: one submission. It stores what was decided; its progress is derived from its clips."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from farm.domain.clip import ClipState


class BatchState(StrEnum):
    """What a person or a rule has decided."""

    OPEN = "open"
    PAUSED = "paused"
    CANCELLED = "cancelled"


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
