"""When a batch would end if everything goes on as it does: list scheduling as the plan does it.

Each lane of a card is a seat. The seat that is free first takes the clip whose turn it is: by
priority, near deadlines, the projects' shares, the order of arrival, in a batch the longest first.
Where nothing waits, it takes over a clip that it would end clearly sooner (`farm.plan.tail`). Time
goes by in clips and not in messages, so 100,000 clips take less than a second.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from farm.domain.hours import Hours
from farm.plan.line import Job, Line
from farm.plan.tail import Idle, Running, moves

EXCHANGE_SECONDS: Final = 10.0
"""A card that renders speaks at least so often."""


@dataclass(slots=True)
class Seat:
    """A lane of a card."""

    card: int
    """Index of its card, for the line to know what it may render."""
    pace: float
    """Seconds for a unit of cost in this lane."""
    share: float
    """Of a second here, what the whole card counts: one over its lanes."""
    chunk_gap: float
    """Seconds between two chunks beside rendering; `clip_gap` between two clips."""
    clip_gap: float
    free_at: float = 0.0
    """Seconds from now."""
    hours: Hours = field(default_factory=Hours)
    backlog: list[Job] = field(default_factory=list)
    """Clips that it holds already, the one in render first."""
    job: Job | None = None
    began: float = 0.0
    turn: int = 0

    def chunk_seconds(self, units: float) -> float:
        """Of one chunk, its gap counted in."""
        return units * self.pace + self.chunk_gap

    def boundary(self, units: float, rendered: float) -> float:
        """Seconds until a clip is given up that was asked for now, `rendered` into its chunk.

        The card hears of it with its next exchange; where it is about to begin a chunk, that one
        goes before.
        """
        each = self.chunk_seconds(units)
        left = max(0.0, each - rendered)
        return left + (each if left < min(EXCHANGE_SECONDS, each) / 2 else 0.0)

    def opens(self, at: float, now: float) -> float:
        """The first second from `at` on in which it may render; infinite: never."""
        if self.hours.contains(now + at):
            return at
        change = self.hours.next_change(now + at)
        return math.inf if change is None else change - now

    def closes(self, at: float, now: float) -> float:
        """When it may render no more; infinite: never."""
        change = self.hours.next_change(now + at) if self.hours.ranges else None
        return math.inf if change is None else change - now


@dataclass(slots=True)
class Forecast:
    """What becomes of one batch."""

    end: float = 0.0
    """Seconds until its last clip is rendered."""
    card_seconds: dict[int, float] = field(default_factory=dict)
    """By card, of rendering it."""
    never: int = 0
    """Clips that no card will come to."""
    chunk_seconds_max: float = 0.0
    """The longest chunk of it on a card that renders it."""


class Forecaster:
    """One run. `now` is in Unix seconds, all else in seconds from then."""

    def __init__(
        self,
        seats: Sequence[Seat],
        line: Line,
        *,
        batch_id: str,
        now: float,
        resume_seconds: float,
        resumes_in: float,
    ) -> None:
        """`resume_seconds` is the plan's guess, by which it decides; `resumes_in` the truth."""
        self._seats, self._line = seats, line
        self._batch_id, self._now = batch_id, now
        self._resume_seconds, self._resumes_in = resume_seconds, resumes_in
        self._heap: list[tuple[float, float, int, int]] = []
        self._parked: list[int] = []
        self._own = 0
        """Seats that render the batch, or hold clips of it."""
        self.found = Forecast()

    def run(self) -> Forecast:
        """Let time pass until nothing is left that a card could render."""
        for index, seat in enumerate(self._seats):
            for job in seat.backlog:
                self._line.holds(job)
                self._own += job.batch_id == self._batch_id
            self._push(index, seat.free_at)
        while self._heap:
            at, _, index, turn = heapq.heappop(self._heap)
            seat = self._seats[index]
            if turn != seat.turn:
                continue
            held = self._over(seat, at)
            if not self._own and not self._line.left_of(self._batch_id):
                break
            self._serve(index, at)
            if held is not None and self._line.is_limited(held):
                parked, self._parked = self._parked, []
                for other in parked:
                    self._serve(other, at)
        self.found.never = self._line.left_of(self._batch_id)
        return self.found

    def _push(self, index: int, at: float) -> None:
        seat = self._seats[index]
        seat.turn += 1
        heapq.heappush(self._heap, (at, seat.pace, index, seat.turn))

    def _over(self, seat: Seat, at: float) -> Job | None:
        """What a seat rendered has ended."""
        job, seat.job = seat.job, None
        if job is not None:
            self._line.ended(job)
            self._count(seat, job, job.chunks)
            if job.batch_id == self._batch_id:
                self._own -= 1
                self.found.end = max(self.found.end, at)
        return job

    def _count(self, seat: Seat, job: Job, chunks: int) -> None:
        if job.batch_id == self._batch_id:
            seconds = chunks * job.units * seat.pace * seat.share
            counted = self.found.card_seconds
            counted[seat.card] = counted.get(seat.card, 0.0) + seconds
            longest = max(self.found.chunk_seconds_max, job.units * seat.pace)
            self.found.chunk_seconds_max = longest

    def _serve(self, index: int, at: float) -> None:
        seat = self._seats[index]
        opens = seat.opens(at, self._now)
        if opens > at:
            if math.isfinite(opens):
                self._push(index, opens)
            return
        if seat.backlog:
            self._start(index, seat.backlog.pop(0), at, seat.clip_gap)
            return
        job = self._line.next(seat.card, at)
        if job is None:
            if not self._take_over(index, at):
                self._parked.append(index)
            return
        self._own += job.batch_id == self._batch_id
        self._start(index, job, at, seat.clip_gap)

    def _start(self, index: int, job: Job, at: float, gap: float) -> None:
        """Begin a clip; what does not end before the node's hours do goes back to the line."""
        seat, each = self._seats[index], self._seats[index].chunk_seconds(job.units)
        began, closes = at + gap, seat.closes(at, self._now)
        end = began + job.chunks * each
        if end > closes:
            done = min(job.chunks, max(0, math.ceil((closes - began) / each)))
            if done < job.chunks:
                self._line.give_back(job, job.chunks - done)
                job, end = job.cut(done), began + done * each if done else closes
        seat.job, seat.began = job, began
        self._push(index, end)

    def _take_over(self, index: int, at: float) -> bool:
        """See whether an idle seat would end a clip sooner than the one that has it."""
        seat = self._seats[index]
        running = [
            Running(
                clip_id=str(number),
                card_id=str(other.card),
                units=self._left(other, at) * other.job.units,
                pace=other.chunk_seconds(other.job.units) / other.job.units,
                chunk=other.job.units,
            )
            for number, other in enumerate(self._seats)
            if other.job is not None
            and other.card != seat.card
            and self._line.may_have(other.job.batch_id, seat.card)
        ]
        own = max((clip.chunk for clip in running), default=0.0)
        if not own:
            return False
        idle = Idle(str(seat.card), seat.chunk_seconds(own) / own)
        found = moves(running, [idle], resume_seconds=self._resume_seconds)
        if not found:
            return False
        number = int(found[0].clip_id)
        other = self._seats[number]
        job = other.job
        assert job is not None
        each = other.chunk_seconds(job.units)
        into = max(0.0, at - other.began)
        given_up = at + other.boundary(job.units, into % each)
        done = min(job.chunks, round((given_up - other.began) / each))
        rest, other.job = job.cut(job.chunks - done), job.cut(done)
        self._push(number, given_up)
        if rest.chunks:
            self._line.holds(rest)
            self._own += rest.batch_id == self._batch_id
            self._start(index, rest, given_up, self._resumes_in)
        return bool(rest.chunks)

    def _left(self, seat: Seat, at: float) -> int:
        """Chunks of a seat's clip that are not rendered, the one in render counted in."""
        assert seat.job is not None
        done = max(0.0, at - seat.began) / seat.chunk_seconds(seat.job.units)
        return max(0, seat.job.chunks - int(done + 1e-9))
