"""All that is open, arranged so that a card's next clip is found without a look at every clip.

The board decides nothing: it keeps count, for the rules beside it. A queue is kept for each kind
of clip in each batch, so that a card with a LoRA loaded, or with lanes to fill, finds its like at
once. Memory for a million open clips stays below a gigabyte.
"""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from sortedcontainers import SortedList

from farm.domain.batch import Batch, BatchState
from farm.domain.clip import Clip, ClipState, Work
from farm.domain.project import Limit, Project
from farm.domain.stacks import UNBOUND, Bond
from farm.plan.order import place


class Kind(NamedTuple):
    """What makes clips of a batch alike for a card."""

    work: Work
    loras: str
    quality: str
    bond: Bond
    """What clips with recorded chunks go on with."""


class Given(NamedTuple):
    """What a clip has its card load: LoRAs, and a profile that follows from these and the card."""

    loras: str
    quality: str
    pinned: str


Place = tuple[int, int, str]
"""Where a clip stands in its queue, its id last; the smallest goes first."""


@dataclass(slots=True)
class Lease:
    """The running time of a lease; who holds it stands in the clip."""

    expires: float
    """Monotonic seconds."""
    started: bool
    """Its renderer has begun it."""
    since: float = 0.0
    """Monotonic seconds at which it was begun, or its last chunk recorded."""
    charged: float = 0.0
    """Cost that its project was charged with when it was given."""
    yield_reason: str = ""
    """Why the card is asked to give it up at the next chunk boundary; empty: it is not."""
    asked: float = 0.0
    """Monotonic seconds at which that was decided."""


@dataclass(slots=True)
class Entry:
    """A batch with open clips."""

    number: int
    """Order of arrival."""
    batch: Batch
    clips: int = 0
    """Of the whole batch, ended ones too."""
    failed: int = 0
    open: int = 0
    held: int = 0
    queued: int = 0
    queued_chunks: int = 0
    """That are left of the queued clips."""
    queues: dict[Kind, SortedList] = field(default_factory=dict)
    chunks_left: Counter[Work] = field(default_factory=Counter)
    """Chunks that are not recorded, of open clips."""
    sizes: Counter[tuple[Work, int]] = field(default_factory=Counter)
    """Open clips by work and chunks left."""
    qualities: Counter[str] = field(default_factory=Counter)
    """Open clips of each."""
    waiting: frozenset[str] = frozenset()
    """Qualities of clips in the queues."""

    @property
    def is_open(self) -> bool:
        """Its clips may go out."""
        return self.batch.state is BatchState.OPEN


class Board:
    """Open clips by id, the queues, who holds what, and what limits who may have more."""

    def __init__(self, cost: Callable[[Work], float] = lambda _work: 1.0) -> None:
        """`cost` is what one chunk of some work takes, in units that paces are measured by."""
        self._cost = cost
        self._costs: dict[Work, float] = {}
        self.leases: dict[str, Lease] = {}
        self.projects: dict[str, Project] = {}
        self.limits: dict[str, Limit] = {}
        self.given: dict[str, Given] = {}
        """What the clip asked for that each card was given last."""
        self.reserved: dict[str, tuple[str, float]] = {}
        """Clip → the card that it is kept for, and until when (monotonic seconds): `reserve`."""
        self.home: dict[str, str] = {}
        """Clip with a checkpoint → the type of card that made it: there it resumes bit-equal."""
        self.limits_used: Counter[str] = Counter()
        self.begun: Counter[Bond] = Counter()
        """Open clips with recorded chunks, by what they go on with; without those that go on with
        anything."""
        self.version = 0
        """Grows whenever the line-up of batches may have changed."""
        self._clips: dict[str, Clip] = {}
        self._entries: dict[str, Entry] = {}
        self._number = 0
        self._of_card: defaultdict[str, dict[str, None]] = defaultdict(dict)
        self._project_cards: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._asleep: list[tuple[float, str]] = []
        self._sleepers: set[str] = set()
        self._reservations: list[tuple[float, str]] = []

    def __len__(self) -> int:
        return len(self._clips)

    # -- reading ---------------------------------------------------------------------------

    def get(self, clip_id: str) -> Clip | None:
        """An open clip, or None."""
        return self._clips.get(clip_id)

    def batch(self, batch_id: str) -> Batch | None:
        """A batch that has open clips, or had when it was put here."""
        entry = self._entries.get(batch_id)
        return entry.batch if entry else None

    def entry(self, batch_id: str) -> Entry | None:
        """The same with what is counted of it."""
        return self._entries.get(batch_id)

    def entries(self) -> Collection[Entry]:
        """All batches with open clips, in order of arrival."""
        return self._entries.values()

    def clips_of(self, batch_id: str) -> list[Clip]:
        """Open clips of a batch; looks at every open clip."""
        return [clip for clip in self._clips.values() if clip.batch_id == batch_id]

    @property
    def queued(self) -> int:
        """Clips that wait for a card, those of paused batches left out."""
        return sum(entry.queued for entry in self._entries.values() if entry.is_open)

    def held_by(self, card_id: str) -> list[Clip]:
        """Clips that a card holds a lease of, the earliest first."""
        return [self._clips[clip_id] for clip_id in self._of_card.get(card_id, ())]

    @property
    def busy(self) -> Collection[str]:
        """Cards that hold a lease."""
        return self._of_card.keys()

    def cards_of_project(self, project: str) -> Mapping[str, int]:
        """Cards that hold clips of a project, and how many."""
        return self._project_cards[project]

    def project_of(self, batch: Batch) -> Project:
        """A batch's project; one that nobody has set has the defaults."""
        known = self.projects.get(batch.project)
        return known or self.projects.setdefault(batch.project, Project(name=batch.project))

    def cost(self, work: Work) -> float:
        """What one chunk of some work takes, in units that paces are measured by."""
        found = self._costs.get(work)
        if found is None:
            found = self._costs[work] = self._cost(work)
        return found

    def units_left(self, entry: Entry) -> float:
        """Cost of all that is left of a batch."""
        return sum(chunks * self.cost(work) for work, chunks in entry.chunks_left.items())

    def units_of(self, clip: Clip) -> float:
        """Cost of what is left of a clip; its take counts as nothing."""
        return clip.chunks_left * self.cost(clip.work)

    def queue(self, entry: Entry, kind: Kind) -> Iterator[Clip]:
        """Waiting clips of one kind of a batch, first to last."""
        return (self._clips[key[2]] for key in entry.queues.get(kind, ()))

    def in_order(self, entry: Entry) -> Iterator[Clip]:
        """Waiting clips of a batch, first to last."""
        return (self._clips[key[2]] for key in heapq.merge(*entry.queues.values()))

    def longest(self, entry: Entry) -> float:
        """Cost of what is left of the longest waiting clip of a batch, by the heads of its queues;
        exact where the longest go first."""
        heads = (self._clips[queue[0][2]] for queue in entry.queues.values())
        return max(map(self.units_of, heads), default=0.0)

    def ahead_of(self, clip: Clip) -> int:
        """Clips of its own batch that go before a waiting one."""
        entry = self._entries[clip.batch_id]
        key = self._place(entry, clip)
        return sum(queue.bisect_left(key) for queue in entry.queues.values())

    # -- writing ---------------------------------------------------------------------------

    def put_batch(self, batch: Batch, *, clips: int | None = None, failed: int = 0) -> None:
        """Add a batch with its number of clips, or what was decided of it since."""
        self.version += 1
        entry = self._entries.get(batch.batch_id)
        if entry is None:
            self._number += 1
            self._entries[batch.batch_id] = Entry(self._number, batch, clips or 0, failed)
            return
        before, entry.batch = entry.batch, batch
        moved = before.order != batch.order or clips not in (None, entry.clips)
        for limit in before.limits:
            self.limits_used[limit] -= entry.held
        for limit in batch.limits:
            self.limits_used[limit] += entry.held
        if clips is not None:
            entry.clips, entry.failed = clips, failed
        if moved:
            for kind, queue in entry.queues.items():
                waiting = [self._clips[key[2]] for key in queue]
                entry.queues[kind] = SortedList(self._place(entry, clip) for clip in waiting)

    def put(self, clip: Clip) -> None:
        """Add or replace a clip; one that has ended is forgotten."""
        before = self._clips.get(clip.clip_id)
        if before is not None and _same_lease(before, clip):
            self._clips[clip.clip_id] = clip
            entry = self._entries[clip.batch_id]
            if before.chunks_left != clip.chunks_left:
                entry.chunks_left[clip.work] -= before.chunks_left - clip.chunks_left
                self._resize(entry, before, -1)
                self._resize(entry, clip, 1)
            return
        if before is not None:
            self._take_out(before)
        if clip.state is not ClipState.LEASED:
            self.leases.pop(clip.clip_id, None)
        if clip.ended:
            self._end(clip)
            return
        entry = self._entries[clip.batch_id]
        self._clips[clip.clip_id] = clip
        entry.open += 1
        entry.chunks_left[clip.work] += clip.chunks_left
        self._resize(entry, clip, 1)
        entry.qualities[clip.quality] += 1
        if clip.state is ClipState.QUEUED:
            self._enqueue(entry, clip)
        elif clip.state is ClipState.LEASED and clip.holder is not None:
            self._hold(entry, clip, clip.holder.card_id)

    def forget_failures(self, batch_id: str, retried: int) -> int:
        """So many failed clips of a batch are wanted again. Returns how many are left."""
        entry = self._entries[batch_id]
        entry.failed = max(0, entry.failed - retried)
        return entry.failed

    def forget_if_empty(self, batch_id: str) -> None:
        """Forget a batch that has no open clips."""
        entry = self._entries.get(batch_id)
        if entry is not None and entry.open == 0:
            del self._entries[batch_id]
            self.version += 1

    def reserve(self, clip_id: str, card_id: str, until: float) -> None:
        """Keep a clip for a card until it comes for it, or `until` (monotonic seconds)."""
        self.reserved[clip_id] = (card_id, until)
        heapq.heappush(self._reservations, (until, clip_id))

    def keep_only_for(self, cards: Collection[str]) -> None:
        """Keep clips for these cards only: the others have gone, and will not come for them."""
        for clip_id in [i for i, (card_id, _) in self.reserved.items() if card_id not in cards]:
            del self.reserved[clip_id]

    def wake(self, now: float) -> None:
        """Let clips join their queues whose backoff has ended by `now` (monotonic seconds), and
        keep none any longer for a card that has not come for it."""
        while self._reservations and self._reservations[0][0] <= now:
            _, clip_id = heapq.heappop(self._reservations)
            if clip_id in self.reserved and self.reserved[clip_id][1] <= now:
                del self.reserved[clip_id]
        while self._asleep and self._asleep[0][0] <= now:
            _, clip_id = heapq.heappop(self._asleep)
            clip = self._clips.get(clip_id)
            if clip_id in self._sleepers and clip is not None and clip.not_before <= now:
                self._sleepers.discard(clip_id)
                self._join(self._entries[clip.batch_id], clip)

    def _end(self, clip: Clip) -> None:
        self.home.pop(clip.clip_id, None)
        self.reserved.pop(clip.clip_id, None)
        entry = self._entries.get(clip.batch_id)
        if entry is not None:
            entry.failed += clip.state is ClipState.FAILED
            self.forget_if_empty(clip.batch_id)

    def _take_out(self, clip: Clip) -> None:
        entry = self._entries[clip.batch_id]
        del self._clips[clip.clip_id]
        entry.open -= 1
        entry.chunks_left[clip.work] -= clip.chunks_left
        self._resize(entry, clip, -1)
        entry.qualities[clip.quality] -= 1
        if clip.state is ClipState.QUEUED:
            self._dequeue(entry, clip)
        elif clip.holder is not None and clip.state is ClipState.LEASED:
            self._release(entry, clip, clip.holder.card_id)

    def _resize(self, entry: Entry, clip: Clip, more: int) -> None:
        """Count an open clip, or one that was, by its size and by what it goes on with."""
        key, bond = (clip.work, clip.chunks_left), clip.bond
        entry.sizes[key] += more
        if not entry.sizes[key]:
            del entry.sizes[key]
        if bond != UNBOUND:
            self.begun[bond] += more
            if not self.begun[bond]:
                del self.begun[bond]

    def _enqueue(self, entry: Entry, clip: Clip) -> None:
        entry.queued += 1
        entry.queued_chunks += clip.chunks_left
        if clip.not_before > 0:
            self._sleepers.add(clip.clip_id)
            heapq.heappush(self._asleep, (clip.not_before, clip.clip_id))
        else:
            self._join(entry, clip)

    def _join(self, entry: Entry, clip: Clip) -> None:
        kind = Kind(clip.work, clip.loras, clip.quality, clip.bond)
        queue = entry.queues.get(kind)
        if queue is None:
            queue = entry.queues[kind] = SortedList()
            self._kinds_changed(entry)
        queue.add(self._place(entry, clip))

    def _dequeue(self, entry: Entry, clip: Clip) -> None:
        entry.queued -= 1
        entry.queued_chunks -= clip.chunks_left
        if clip.clip_id in self._sleepers:
            self._sleepers.discard(clip.clip_id)
            return
        kind = Kind(clip.work, clip.loras, clip.quality, clip.bond)
        queue = entry.queues[kind]
        queue.remove(self._place(entry, clip))
        if not queue:
            del entry.queues[kind]
            self._kinds_changed(entry)

    def _kinds_changed(self, entry: Entry) -> None:
        entry.waiting = frozenset(kind.quality for kind in entry.queues)
        self.version += 1

    def _hold(self, entry: Entry, clip: Clip, card_id: str) -> None:
        entry.held += 1
        self._of_card[card_id][clip.clip_id] = None
        self._project_cards[entry.batch.project][card_id] += 1
        self.limits_used.update(entry.batch.limits)
        self.given[card_id] = Given(clip.loras, clip.quality, entry.batch.needs.pinned)
        self.reserved.pop(clip.clip_id, None)

    def _release(self, entry: Entry, clip: Clip, card_id: str) -> None:
        entry.held -= 1
        held = self._of_card[card_id]
        del held[clip.clip_id]
        if not held:
            del self._of_card[card_id]
        cards = self._project_cards[entry.batch.project]
        cards[card_id] -= 1
        if not cards[card_id]:
            del cards[card_id]
        self.limits_used.subtract(entry.batch.limits)

    def _place(self, entry: Entry, clip: Clip) -> Place:
        first, second = place(
            entry.batch.order,
            ordinal=clip.ordinal,
            clips=entry.clips,
            chunks_left=clip.chunks_left,
        )
        return (first, second, clip.clip_id)


def _same_lease(before: Clip, after: Clip) -> bool:
    return before.state is after.state is ClipState.LEASED and before.holder == after.holder
