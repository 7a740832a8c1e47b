"""Whose turn it is, for a forecast: the queues of all batches as counts of clips by size."""

from __future__ import annotations

import bisect
import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from farm.domain.clip import Work
from farm.domain.project import Project
from farm.plan.picture import BatchSeen
from farm.plan.share import had

JOBS_MAX: Final = 10_000
"""Clips of a batch that are looked at one by one; of more, some of one size go as one."""
Size = tuple[Work, int]
"""Work and chunks left."""
Place = tuple[int, float]
"""Where a clip stands in its batch; the smallest goes first."""
SINGLES: Final = 4
"""The last clips go one by one all the same: so many times as are taken at once, for each seat."""


@dataclass(frozen=True, slots=True)
class Job:
    """A clip, or some of one size that one seat renders after another."""

    batch_id: str
    work: Work
    units: float
    """Cost of one chunk."""
    chunks: int
    clips: int = 1

    def cut(self, chunks: int) -> Job:
        """A part of it, as one clip."""
        return replace(self, chunks=chunks, clips=1)


class _Queue:
    """A batch's waiting clips."""

    def __init__(
        self, number: int, seen: BatchSeen, cost: Callable[[Work], float], seats: int, shift: float
    ) -> None:
        """`number` is its place in the order of arrival."""
        self.number, self.batch, self.urgent = number, seen.batch, seen.urgent
        self.kept: dict[int, list[Job]] = {}
        """Card → clips that are kept for it."""
        self._shift, self._cost, self._seats = shift, cost, seats
        self._in_file_order = seen.batch.order.every > 0
        self._heap: list[tuple[Place, int, Size, int]] = []
        self._number = 0
        self.clips = 0
        total = sum(seen.waiting.values())
        self._at_once = max(1, -(-total // JOBS_MAX))
        for i, size in enumerate(seen.order):
            self._push(size, 1, (i + 0.5) / len(seen.order))
        uncertain = Counter(seen.waiting) - Counter(seen.order)
        self._all = dict(uncertain)
        for size, clips in uncertain.items():
            if size[1] > 0:
                self._push(size, clips, self._part(size, clips))

    def add(self, size: Size) -> None:
        """One more waits."""
        self._push(size, 1, self._shift)

    def _push(self, size: Size, clips: int, part: float) -> None:
        """The longest go first, in another order all sizes alike; `part`, 0 to 1, ranks equals."""
        self._number += 1
        self.clips += clips
        place = (0 if self._in_file_order else -size[1], part)
        heapq.heappush(self._heap, (place, self._number, size, clips))

    def _part(self, size: Size, clips: int) -> float:
        """Where the next clip of a size stands, `clips` of them left: each size comes in its
        proportion."""
        whole = self._all[size]
        return (whole - clips + self._shift) / whole

    def has(self, card: int) -> bool:
        """Something waits that this card could have."""
        return bool(self._heap) or card in self.kept

    def __bool__(self) -> bool:
        return bool(self._heap) or bool(self.kept)

    def pop(self, card: int) -> Job:
        """What goes to this card."""
        if (mine := self.kept.get(card)) and (
            not self._heap or mine[0].chunks >= self._heap[0][2][1]
        ):
            job = mine.pop(0)
            self.clips -= job.clips
            if not mine:
                del self.kept[card]
            return job
        return self._pop()

    def keep(self, job: Job, card: int) -> None:
        """A clip waits for one card."""
        self.kept.setdefault(card, []).append(job)
        self.clips += job.clips

    def _pop(self) -> Job:
        _, _, size, left = heapq.heappop(self._heap)
        many = self.clips > SINGLES * self._seats * self._at_once
        clips = min(left, self._at_once) if many else 1
        self.clips -= left
        if left > clips:
            self._push(size, left - clips, self._part(size, left - clips))
        work, chunks = size
        return Job(self.batch.batch_id, work, self._cost(work), chunks * clips, clips)


class Line:
    """All of them."""

    def __init__(
        self,
        batches: Iterable[BatchSeen],
        *,
        cost: Callable[[Work], float],
        seats: int,
        may_have: Callable[[str, int], bool],
        projects: Mapping[str, Project],
        limits: Mapping[str, int],
        half_life_seconds: float,
        now: float,
        shift: float = 0.5,
    ) -> None:
        """`may_have` says whether a card, by its index, may render a batch at all.

        `shift`, 0 to 1, chooses one of the orders in which clips of a length may come.
        """
        self.may_have = may_have
        self._half_life = half_life_seconds
        self._cost, self._limits, self._projects = cost, limits, projects
        queues = [_Queue(i, seen, cost, seats, shift) for i, seen in enumerate(batches)]
        self._queues = {queue.batch.batch_id: queue for queue in queues}
        self._held: Counter[str] = Counter()
        self._of_project: Counter[str] = Counter()
        self._had: defaultdict[str, float] = defaultdict(float)
        for name, project in projects.items():
            self._had[name] = had(project, now, half_life_seconds)
        self._levels: dict[int, tuple[list[_Queue], dict[str, list[_Queue]]]] = {}
        for queue in queues:
            urgent, by_project = self._levels.setdefault(queue.batch.priority, ([], {}))
            if queue.urgent is not None:
                urgent.append(queue)
            else:
                by_project.setdefault(queue.batch.project, []).append(queue)
        for urgent, _ in self._levels.values():
            urgent.sort(key=lambda queue: queue.urgent or 0.0)
        self._priorities = sorted(self._levels, reverse=True)
        self.clips = sum(queue.clips for queue in queues)
        """That wait."""

    def rank(self, batch_id: str) -> tuple[float, float]:
        """What lets a batch displace another (`farm.plan.lineup`); the smaller goes first."""
        queue = self._queues[batch_id]
        return (-queue.batch.priority, math.inf if queue.urgent is None else queue.urgent)

    def left_of(self, batch_id: str) -> int:
        """Clips of a batch that still wait."""
        return self._queues[batch_id].clips

    def next(self, card: int, at: float) -> Job | None:
        """What a card takes `at` seconds from now, or None; its project is charged."""
        queue = self._first(card)
        return None if queue is None else self._take(queue, card, at)

    def finds(self, card: int) -> bool:
        """Something waits that a card may have."""
        return self._first(card) is not None

    def _first(self, card: int) -> _Queue | None:
        for priority in self._priorities:
            urgent, by_project = self._levels[priority]
            lists = [urgent]
            if by_project:
                lists += [by_project[n] for n in sorted(by_project, key=self._had.__getitem__)]
            for queues in lists:
                while queues and not queues[0]:
                    del queues[0]
                for queue in queues:
                    if not queue.has(card) or not self._room(queue):
                        continue
                    if self.may_have(queue.batch.batch_id, card):
                        return queue
        return None

    def ended(self, job: Job) -> None:
        """A clip has left its seat."""
        self._count(self._queues[job.batch_id], -1)

    def holds(self, job: Job) -> None:
        """A seat has a clip of this already."""
        self._count(self._queues[job.batch_id], 1)

    def give_back(self, job: Job, kept_for: int | None = None) -> None:
        """A clip waits again, for any card or for one."""
        queue, job = self._queues[job.batch_id], job.cut(job.chunks)
        self.clips += 1
        if kept_for is None:
            queue.add((job.work, job.chunks))
        else:
            queue.keep(job, kept_for)
        urgent, by_project = self._levels[queue.batch.priority]
        queues = urgent if queue.urgent is not None else by_project[queue.batch.project]
        if queue not in queues:
            bisect.insort(queues, queue, key=lambda each: (each.urgent or 0.0, each.number))

    def release(self, card: int) -> None:
        """What was kept for a card waits for any."""
        for queue in self._queues.values():
            for job in queue.kept.pop(card, ()):
                queue.clips -= 1
                queue.add((job.work, job.chunks))

    def is_limited(self, job: Job) -> bool:
        """Something else may have waited for this clip's end only."""
        batch = self._queues[job.batch_id].batch
        project = self._projects.get(batch.project)
        return bool(batch.limits) or (project is not None and project.cap is not None)

    def _take(self, queue: _Queue, card: int, at: float) -> Job:
        job = queue.pop(card)
        self.clips -= job.clips
        self._count(queue, 1)
        project = self._projects.get(queue.batch.project)
        # What is charged later has faded less: the same as if all that was charged before had.
        faded = 2.0 ** (at / self._half_life)
        weight = project.weight if project else 1.0
        self._had[queue.batch.project] += job.chunks * job.units * faded / weight
        return job

    def _room(self, queue: _Queue) -> bool:
        batch = queue.batch
        project = self._projects.get(batch.project)
        cap = project.cap if project is not None else None
        full = cap is not None and self._of_project[batch.project] >= cap
        if full and self._others_wait(batch.project):
            return False
        return all(
            self._held[name] < self._limits[name] for name in batch.limits if name in self._limits
        )

    def _others_wait(self, project: str) -> bool:
        return any(q and q.batch.project != project for q in self._queues.values())

    def _count(self, queue: _Queue, more: int) -> None:
        self._of_project[queue.batch.project] += more
        for name in queue.batch.limits:
            self._held[name] += more
