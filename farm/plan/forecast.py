"""When a batch would end if everything goes on as it does: list scheduling as the plan does it.

Each lane of a card is a seat. A card takes the clip whose turn it is when what it holds will soon
be rendered, as long as many wait, else when it holds nothing (`farm.plan.split`): by priority, near
deadlines, the projects' shares, the order of arrival, in a batch the longest first. A higher rank
takes cards over (`farm.plan.preempt`); where nothing waits, an idle card takes over a clip that it
would end clearly sooner (`farm.plan.tail`). A card does what it is asked to at the end of a chunk,
once it has heard of it. Time goes by in clips and not in messages, so 100,000 clips take less than
a second.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from farm.plan.line import Job, Line
from farm.plan.policy import Policy
from farm.plan.preempt import Occupied, Wanting, victims
from farm.plan.seat import Bench, Seat
from farm.plan.split import is_fed, pause_seconds, shard_size
from farm.plan.tail import Idle, Move, Running, moves

TICK_SECONDS: Final = 1.0
"""The plan looks so often at who has to yield."""
_CLOSE: Final = 1e-6


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
        benches: Sequence[Bench],
        line: Line,
        *,
        batch_id: str,
        now: float,
        policy: Policy,
        cards_online: int,
        tick_at: float,
    ) -> None:
        """`tick_at` is when the plan looks first at who has to yield."""
        self._benches, self._line, self._policy = benches, line, policy
        self._batch_id, self._now, self._tick_at = batch_id, now, tick_at
        self._online = cards_online
        self._poll_seconds = pause_seconds(
            waiting=True, cards_online=cards_online, longest=policy.exchange_seconds
        )
        self._events: list[tuple[float, float, int, Callable[[float], None]]] = []
        self._planned = 0
        self._idle: dict[int, float] = {}
        """Cards that hold nothing and found nothing → since when."""
        self._looks_at = -math.inf
        self._own = 0
        """Clips of the batch that cards hold."""
        self.found = Forecast()

    def run(self) -> Forecast:
        """Let time pass until nothing is left that a card could render."""
        for bench in self._benches:
            for seat in bench.seats:
                if seat.job is not None:
                    self._hold(seat.job)
                    self._go_on(seat, -math.inf)
                else:
                    self._at(seat.free_at, partial(self._serve, seat))
            for job in bench.backlog:
                self._hold(job)
        self._at(self._tick_at, self._displace)
        while self._events and (self._own or self._line.left_of(self._batch_id)):
            at, _, _, call = heapq.heappop(self._events)
            call(at)
        self.found.never = self._line.left_of(self._batch_id)
        return self.found

    def _at(self, at: float, call: Callable[[float], None], pace: float = 0.0) -> None:
        self._planned += 1
        heapq.heappush(self._events, (at, pace, self._planned, call))

    def _tick(self, at: float) -> float:
        """The plan's next look."""
        return self._tick_at + TICK_SECONDS * max(0, math.ceil((at - self._tick_at) / TICK_SECONDS))

    def _hold(self, job: Job) -> None:
        self._line.holds(job)
        self._own += job.batch_id == self._batch_id

    # -- clips begin and end ---------------------------------------------------------------

    def _serve(self, seat: Seat, at: float) -> None:
        """A seat has nothing to render and asks for more."""
        bench = seat.bench
        opens = bench.opens(at, self._now)
        if opens > at:
            self._line.release(bench.card)
            self._give_back_waiting(bench, at)
            if math.isfinite(opens):
                self._at(opens, partial(self._serve, seat))
            return
        self._feed(bench, at)
        self._fill(bench, at)
        if not bench.held:
            self._idle[bench.card] = at
            self._look_soon(at)

    def _fill(self, bench: Bench, at: float) -> None:
        """Lanes without a clip begin what has just come."""
        for seat in bench.seats:
            if seat.job is None and bench.backlog:
                self._start(seat, bench.backlog.pop(0), at, bench.first_gap)
                self._feed(bench, at)

    def _start(self, seat: Seat, job: Job, at: float, gap: float) -> None:
        """Begin a clip; what does not end before the node's hours do goes back to the line."""
        seat.job, seat.began, seat.whole, seat.rest = job, at + gap, job.chunks, None
        self._idle.pop(seat.bench.card, None)
        closes = seat.bench.closes(at, self._now)
        if seat.end > closes:
            done = min(job.chunks, max(0, math.ceil((closes - seat.began) / seat.each)))
            if done < job.chunks:
                self._cut(seat, done)
        self._go_on(seat, at)

    def _go_on(self, seat: Seat, at: float) -> None:
        """Plan when a seat's job ends, and when its card takes the next one."""
        seat.turn += 1
        turn, policy, bench = seat.turn, self._policy, seat.bench

        def over(later: float) -> None:
            if seat.turn == turn:
                self._over(seat, later)

        def feed(later: float) -> None:
            if seat.turn != turn:
                return
            self._feed(bench, later)
            self._fill(bench, later)
            if len(bench.backlog) < bench.spare and later + seat.each < seat.end:
                self._at(later + seat.each, feed)

        self._at(seat.end, over, seat.pace)
        chunk = seat.units * bench.pace
        few = math.ceil(2 + policy.round_trip_seconds / chunk) - 1 if chunk else seat.whole
        wants_at = seat.began + max(0, seat.whole - few) * seat.each
        self._at(max(wants_at, seat.hears(max(0.0, at + _CLOSE))), feed)

    def _over(self, seat: Seat, at: float) -> None:
        """What a seat rendered has ended, or is given up."""
        job, rest, bench = seat.job, seat.rest, seat.bench
        assert job is not None
        seat.job = seat.rest = None
        seat.turn += 1
        self._count(seat, job, job.chunks)
        self._line.ended(job)
        if rest is not None:
            self._give_back(rest, at, seat.kept_for)
        elif job.batch_id == self._batch_id:
            self._own -= 1
            self.found.end = max(self.found.end, at)
        if self._line.is_limited(job):
            self._wake(at)
        if rest is not None and (not bench.backlog or bench.opens(at, self._now) > at):
            self._serve(seat, at)
        elif bench.backlog:
            self._start(seat, bench.backlog.pop(0), at, bench.clip_gap)
        else:
            self._feed(bench, at, finishing=1)
            self._fill(bench, at)
            if seat.job is None:
                self._at(at + bench.take_gap, partial(self._serve, seat))

    def _count(self, seat: Seat, job: Job, chunks: int) -> None:
        if job.batch_id == self._batch_id:
            seconds = chunks * job.units * seat.pace * seat.share
            counted, card = self.found.card_seconds, seat.bench.card
            counted[card] = counted.get(card, 0.0) + seconds
            longest = max(self.found.chunk_seconds_max, job.units * seat.pace)
            self.found.chunk_seconds_max = longest

    # -- what cards get --------------------------------------------------------------------

    def _feed(self, bench: Bench, at: float, finishing: int = 0) -> None:
        """Give a card what it has room for and would soon be without (`farm.plan.split`).

        `finishing` are clips whose takes are not recorded. A lane that is free gets a clip as a
        free card does: with fewer of them the others are the faster, and the work is as soon done.
        """
        lanes = len(bench.seats)
        while True:
            held = finishing + (bench.held if bench.held >= lanes else 0)
            size = shard_size(
                capacity=lanes + bench.spare + finishing,
                held=held,
                queued=self._line.clips,
                cards_online=self._online,
            )
            if size <= 0 or self._is_fed(bench, at):
                return
            job = self._line.next(bench.card, at)
            if job is None:
                return
            bench.is_promised = False
            self._own += job.batch_id == self._batch_id
            bench.backlog.append(job)
            if self._outranked(bench):
                self._at(self._tick(at), partial(self._mind_rank, bench))

    def _is_fed(self, bench: Bench, at: float) -> bool:
        costs = [job.units for job in bench.backlog]
        costs += [seat.units for seat in bench.seats if seat.job is not None]
        return is_fed(
            units_held=bench.units_held(at),
            chunk_units=max(costs, default=0.0),
            pace=bench.pace,
            lanes=len(bench.seats),
            round_trip_seconds=self._policy.round_trip_seconds,
        )

    def _wake(self, at: float) -> None:
        """Something waits: idle cards find it when they ask next."""
        for card, since in self._idle.items():
            asks = math.ceil((at - since) / self._poll_seconds) * self._poll_seconds
            bench = self._benches[card]

            def ask(later: float, bench: Bench = bench) -> None:
                if not bench.held:
                    self._serve(bench.seats[0], later)

            self._at(since + asks, ask)

    def _give_back(self, job: Job, at: float, kept_for: int | None = None) -> None:
        """What a card held waits again."""
        self._own -= job.batch_id == self._batch_id
        self._line.give_back(job, kept_for)
        self._wake(at)

    def _give_back_waiting(self, bench: Bench, at: float) -> None:
        waiting, bench.backlog = bench.backlog, []
        for job in waiting:
            self._line.ended(job)
            self._give_back(job, at)

    # -- who yields ------------------------------------------------------------------------

    def _cut(self, seat: Seat, done: int, kept_for: int | None = None) -> None:
        job = seat.job
        assert job is not None
        seat.job, seat.rest, seat.kept_for = job.cut(done), job.cut(job.chunks - done), kept_for

    def _give_up(self, seat: Seat, at: float, kept_for: int | None = None) -> bool:
        """Ask for a clip in render; False where it ends before."""
        job = seat.job
        if job is None or seat.rest is not None or (done := seat.boundary(at)) >= job.chunks:
            return False
        self._cut(seat, done, kept_for)
        self._go_on(seat, at)
        return True

    def _take_back(self, bench: Bench, job: Job, at: float, kept_for: int | None = None) -> None:
        """Ask for a clip that waits on a card: it comes back with the next exchange."""

        def heard(later: float) -> None:
            if job in bench.backlog:
                bench.backlog.remove(job)
                self._line.ended(job)
                self._give_back(job, later, kept_for)
                self._feed(bench, later)

        self._at(bench.hears(at), heard)

    def _displace(self, at: float) -> None:
        """Cards are given up for the batch where it has the higher rank."""
        line, own = self._line, self._line.rank(self._batch_id)
        occupied = [
            Occupied(
                str(bench.card),
                max(line.rank(job.batch_id) for job in held),
                bench.pace * max(job.units for job in held),
            )
            for bench in self._benches
            if (held := _jobs(bench)) and not any(seat.rest for seat in bench.seats)
        ]
        yielding = [b.card for b in self._benches if any(seat.rest for seat in b.seats)]
        idle = [b.card for b in self._benches if b.seats and not b.held]
        wanting = Wanting(
            self._batch_id,
            own,
            line.left_of(self._batch_id),
            lambda card: line.may_have(self._batch_id, int(card)),
        )
        for card, _ in victims([wanting], occupied, map(str, idle + yielding)):
            self._yield_to(self._benches[int(card)], own, at)

    def _yield_to(self, bench: Bench, rank: tuple[float, float], at: float) -> None:
        """A card gives up all that is of a lower rank."""
        for seat in bench.seats:
            if seat.job is not None and self._line.rank(seat.job.batch_id) > rank:
                self._give_up(seat, at)
        for job in bench.backlog:
            if self._line.rank(job.batch_id) > rank:
                self._take_back(bench, job, at)
        self._at(bench.hears(at), partial(self._feed, bench))

    def _outranked(self, bench: Bench) -> list[Seat]:
        """Lanes that render while a clip of higher rank waits on their card."""
        rank = self._line.rank
        first = min((rank(job.batch_id) for job in bench.backlog), default=(math.inf, math.inf))
        return [s for s in bench.seats if s.job is not None and rank(s.job.batch_id) > first]

    def _mind_rank(self, bench: Bench, at: float) -> None:
        for seat in self._outranked(bench):
            self._give_up(seat, at)

    # -- the tail --------------------------------------------------------------------------

    def _look_soon(self, at: float) -> None:
        """The plan will see that a card is idle."""
        tick = self._tick(at)
        if tick > self._looks_at:
            self._looks_at = tick
            self._at(tick, self._look)

    def _look(self, at: float) -> None:
        """See which clips idle cards would end sooner than the ones that have them."""
        running = self._running(at)
        for batch_id, clips in running.items():
            idle = [
                Idle(str(card), self._benches[card].seats[0].pace)
                for card in self._idle
                if not self._benches[card].is_promised
                and self._line.may_have(batch_id, card)
                and not self._line.finds(card)
            ]
            for move in moves(clips, idle, resume_seconds=self._policy.resume_seconds):
                self._move(move, at)

    def _running(self, at: float) -> dict[str, list[Running]]:
        found: dict[str, list[Running]] = {}
        for bench in self._benches if self._idle else ():
            ahead = 0.0
            for number, seat in enumerate(bench.seats):
                if seat.job is None:
                    continue
                left = (seat.whole - seat.recorded(at)) * seat.units
                ahead += left * seat.share
                if seat.rest is None:
                    found.setdefault(seat.job.batch_id, []).append(
                        Running(str(number), str(bench.card), left, seat.pace, 0.0, seat.units)
                    )
            for number, job in enumerate(bench.backlog, len(bench.seats)):
                left, pace = job.chunks * job.units, bench.seats[0].pace
                found.setdefault(job.batch_id, []).append(
                    Running(str(number), str(bench.card), left, pace, ahead, job.units)
                )
                ahead += left
        return found

    def _move(self, move: Move, at: float) -> None:
        bench, number, to = self._benches[int(move.from_card)], int(move.clip_id), int(move.to_card)
        if number >= len(bench.seats):
            self._take_back(bench, bench.backlog[number - len(bench.seats)], at, to)
        elif not self._give_up(bench.seats[number], at, to):
            return
        self._benches[to].is_promised = True


def _jobs(bench: Bench) -> list[Job]:
    """All that a card holds."""
    return [*(seat.job for seat in bench.seats if seat.job is not None), *bench.backlog]
