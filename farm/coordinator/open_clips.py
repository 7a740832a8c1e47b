"""The clips that have not ended, as the coordinator keeps them in memory.

A mirror of the store, rebuilt from it at any time: light records, an ordered queue, and the leases
by card. The store stays the truth.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from sortedcontainers import SortedList

from farm.domain.batch import Batch, BatchState
from farm.domain.clip import Clip, ClipState

QueueKey = tuple[int, int, int, str]
"""(-priority, order of the batch, ordinal, clip id): the smallest goes first."""


@dataclass(slots=True)
class Lease:
    """The running time of a lease; who holds it stands in the clip."""

    expires: float
    """Monotonic seconds."""
    started: bool
    """Its renderer has begun it."""


class OpenClips:
    """Open clips by id, the queue in order, and who holds what."""

    def __init__(self) -> None:
        self._clips: dict[str, Clip] = {}
        self._queue: SortedList = SortedList()
        self._batches: dict[str, tuple[int, Batch]] = {}
        self._clips_open: defaultdict[str, int] = defaultdict(int)
        self._of_card: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self.leases: dict[str, Lease] = {}

    def __len__(self) -> int:
        return len(self._clips)

    def get(self, clip_id: str) -> Clip | None:
        """An open clip, or None."""
        return self._clips.get(clip_id)

    def batch(self, batch_id: str) -> Batch | None:
        """A batch that has open clips, or had when it was put here."""
        found = self._batches.get(batch_id)
        return found[1] if found else None

    @property
    def batches_open(self) -> int:
        """Batches with open clips."""
        return len(self._batches)

    @property
    def queued(self) -> int:
        """Clips that wait for a card, those of paused batches left out."""
        return len(self._queue)

    def put_batch(self, batch: Batch) -> None:
        """Add a batch, or what was decided of it since."""
        before = self._batches.get(batch.batch_id)
        order = before[0] if before else 1 + max((o for o, _ in self._batches.values()), default=0)
        queued = [c for c in self._clips.values() if c.batch_id == batch.batch_id] if before else []
        for clip in queued:
            self._leave_queue(clip)
        self._batches[batch.batch_id] = (order, batch)
        for clip in queued:
            self._join_queue(clip)

    def put(self, clip: Clip) -> None:
        """Add or replace a clip; one that has ended is forgotten."""
        before = self._clips.get(clip.clip_id)
        if before is not None and _same_lease(before, clip):
            self._clips[clip.clip_id] = clip
            return
        if before is not None:
            self._take_out(before)
        if clip.ended:
            self.forget_if_empty(clip.batch_id)
            return
        self._clips[clip.clip_id] = clip
        self._clips_open[clip.batch_id] += 1
        self._join_queue(clip)
        if clip.state is ClipState.LEASED and clip.holder is not None:
            self._of_card[clip.holder.card_id][clip.clip_id] = None

    def held_by(self, card_id: str) -> list[Clip]:
        """Clips that a card holds a lease of, the earliest first."""
        return [self._clips[clip_id] for clip_id in self._of_card.get(card_id, ())]

    def in_order(self) -> Iterator[Clip]:
        """The queue, first to last."""
        return (self._clips[key[3]] for key in self._queue)

    def _take_out(self, clip: Clip) -> None:
        del self._clips[clip.clip_id]
        self._clips_open[clip.batch_id] -= 1
        self._leave_queue(clip)
        if clip.holder is not None:
            self._of_card[clip.holder.card_id].pop(clip.clip_id, None)

    def forget_if_empty(self, batch_id: str) -> None:
        """Forget a batch that has no open clips."""
        if self._clips_open.get(batch_id, 0) == 0:
            self._clips_open.pop(batch_id, None)
            self._batches.pop(batch_id, None)

    def _join_queue(self, clip: Clip) -> None:
        if clip.state is ClipState.QUEUED and self._is_open(clip.batch_id):
            self._queue.add(self._key(clip))

    def _leave_queue(self, clip: Clip) -> None:
        if clip.state is ClipState.QUEUED and clip.batch_id in self._batches:
            self._queue.discard(self._key(clip))

    def _is_open(self, batch_id: str) -> bool:
        return self._batches[batch_id][1].state is BatchState.OPEN

    def _key(self, clip: Clip) -> QueueKey:
        order, batch = self._batches[clip.batch_id]
        return (-batch.priority, order, clip.ordinal, clip.clip_id)


def _same_lease(before: Clip, after: Clip) -> bool:
    return before.state is after.state is ClipState.LEASED and before.holder == after.holder
