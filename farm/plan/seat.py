"""Cards as a forecast sees them: lanes that render chunk after chunk, and what is held beside."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Final

from farm.domain.hours import Hours
from farm.plan.line import Job

EXCHANGE_SECONDS: Final = 10.0
"""A card that renders speaks when a chunk is made, when it is recorded, and so long after that."""
_CLOSE: Final = 1e-9


@dataclass(slots=True, kw_only=True)
class Bench:
    """A card. All times are in seconds from now."""

    card: int
    """Its index, for the line to know what it may render."""
    pace: float
    """The card's seconds for a unit of cost, as the plan has it; 0: not measured."""
    chunk_gap: float
    """Seconds between two chunks beside rendering."""
    clip_gap: float
    """Between two clips where the card had the next one already."""
    first_gap: float
    """From a lease of a card that holds nothing else to its first chunk, rendering it left out."""
    take_gap: float
    """From a clip's last chunk to its take."""
    late: float = 0.0
    """From the end of a chunk's rendering until it is recorded."""
    spare: int = 1
    """Clips that it may hold beside those in render."""
    spoke: float = 0.0
    """When it was last heard of."""
    hours: Hours = field(default_factory=Hours)
    seats: list[Seat] = field(default_factory=list)
    backlog: list[Job] = field(default_factory=list)
    """Clips that it holds and has not begun."""
    is_promised: bool = False
    """A clip is on its way to it."""

    @property
    def held(self) -> int:
        """Clips."""
        return len(self.backlog) + sum(seat.job is not None for seat in self.seats)

    def units_held(self, at: float) -> list[float]:
        """Cost of what is left of each clip, as far as chunks are recorded."""
        running = [seat for seat in self.seats if seat.job is not None]
        return [
            *((seat.whole - seat.recorded(at)) * seat.units for seat in running),
            *(job.chunks * job.units for job in self.backlog),
        ]

    def hears(self, at: float) -> float:
        """When it speaks next."""
        return min((seat.hears(at) for seat in self.seats if seat.job is not None), default=at)

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
class Seat:
    """A lane of a card. Chunks count from when they are recorded, a little after they are made."""

    bench: Bench
    pace: float
    """Seconds for a unit of cost in this lane."""
    share: float
    """Of a second here, what the whole card counts: one over its lanes."""
    free_at: float = 0.0
    """When it asks for its first clip."""
    job: Job | None = None
    began: float = 0.0
    whole: int = 0
    """Chunks of the clip, those counted in that it is to give up."""
    rest: Job | None = None
    """What it gives up when the job, cut short, is over."""
    kept_for: int | None = None
    """The card that the rest is meant for."""
    turn: int = 0

    @property
    def units(self) -> float:
        """Cost of one chunk of its clip."""
        assert self.job is not None
        return self.job.units

    @property
    def each(self) -> float:
        """Seconds of one chunk of its clip, the gap counted in."""
        return self.chunk_seconds(self.units)

    @property
    def end(self) -> float:
        """When the last chunk of its job is recorded."""
        job = self.job
        assert job is not None
        return self.began + job.chunks * self.each + (job.clips - 1) * self.bench.clip_gap

    def chunk_seconds(self, units: float) -> float:
        """Of one chunk, its gap counted in."""
        return units * self.pace + self.bench.chunk_gap

    def recorded(self, at: float) -> int:
        """Chunks of its clip that are, at that time."""
        return min(self.whole, max(0, math.floor((at - self.began) / self.each + _CLOSE)))

    def hears(self, at: float) -> float:
        """When its card speaks next on its account."""
        last = self.began + self.recorded(at) * self.each
        spoke, recorded = max(last, self.bench.spoke), last + self.each
        silent = math.ceil((at - spoke) / EXCHANGE_SECONDS - _CLOSE)
        made = recorded - self.bench.late
        return min(
            spoke + EXCHANGE_SECONDS * max(0, silent), made if made >= at else max(at, recorded)
        )

    def boundary(self, at: float) -> int:
        """After how many chunks the clip is given up that was asked for at that time.

        The card hears of it with its next exchange; once it says that a chunk is made, it has
        begun the next one already.
        """
        done = self.recorded(at)
        made = self.began + (done + 1) * self.each - self.bench.late
        return min(self.whole, done + (1 if self.hears(at) < made - _CLOSE else 2))
