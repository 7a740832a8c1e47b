"""How long a card was at work, and how long not although clips were there to render.

The card's own clock is read: on a GPU by events among its work (`helios.card`), elsewhere by the
wall.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import Any, Protocol

Mark = Any
"""A moment on a card, of whatever kind its `Marks` are."""


class Marks(Protocol):
    """A card's clock."""

    def now(self) -> Mark:
        """The moment at which the card has done all that it was asked for before."""
        ...

    def between(self, earlier: Mark, later: Mark) -> float:
        """Seconds between two moments; waits for the later one."""
        ...

    def reach(self, mark: Mark) -> None:
        """Wait for a moment."""
        ...


class WallClock:
    """Of whatever does its work before it returns: a CPU, a test card."""

    def now(self) -> float:
        """See `Marks`."""
        return time.perf_counter()

    def between(self, earlier: float, later: float) -> float:
        """See `Marks`."""
        return later - earlier

    def reach(self, mark: float) -> None:
        """See `Marks`."""


@dataclass(frozen=True, slots=True)
class Worked:
    """What a round took on the card, seconds."""

    seconds: float
    """From its begin to the end of its last work."""
    busy: float
    """In work: passes and decodes, with what they wait for within themselves, as for weights that
    are streamed."""
    idle: float
    """Out of work since the round before, or since clips came: between rounds while chunks wait to
    be recorded, while the host prepares or encodes prompts, and between two passes. What a
    schedule computes between passes, far below a thousandth, is taken for idle."""
    passes: float = 0.0
    """Denoising passes; whole but for a share of them."""
    pass_seconds: float = 0.0
    """Of `busy`, in passes."""

    def share(self, lanes: int) -> Worked:
        """An even part of it."""
        return Worked(*(each / lanes for each in astuple(self)))


class WorkClock:
    """Follows one card, round by round; for one thread. What it returns is for any."""

    def __init__(self, marks: Marks | None = None) -> None:
        """By default on the wall's clock."""
        self._marks = marks or WallClock()
        self._since: Mark = None
        """Until when all is counted: the last round's end, or when clips came."""
        self._began: Mark = None
        self._work: list[tuple[Mark, Mark, bool]] = []
        """Begins and ends, and which of them are passes."""
        self._last: Mark = None

    def start(self) -> None:
        """Clips have come after a time without any, which does not count."""
        self._since = self._marks.now()

    def begin(self) -> None:
        """A round begins."""
        self._began = self._marks.now()
        if self._since is None:
            self._since = self._began

    @contextmanager
    def working(self, *, is_pass: bool = False) -> Iterator[None]:
        """The block asks the card for one piece of work: a denoising pass, or anything else.

        It leaves when the piece before is done. So the host is one piece ahead of the card, which
        then never waits for it, and no more: a cancel counts soon.
        """
        began = self._marks.now()
        yield
        before, self._last = self._last, self._marks.now()
        self._work.append((began, self._last, is_pass))
        if before is not None:
            self._marks.reach(before)

    def end(self) -> Callable[[], Worked]:
        """The round is asked for; what it took is known once it is done, which the call waits for.

        Work of rounds that were not ended, because they failed or were cancelled, is counted in.
        """
        marks, since, began, work = self._marks, self._since, self._began, self._work
        ended = work[-1][1] if work else began
        self._since, self._work = ended, []

        def worked() -> Worked:
            took = [(marks.between(begin, end), is_pass) for begin, end, is_pass in work]
            busy = sum(seconds for seconds, _ in took)
            passes = [seconds for seconds, is_pass in took if is_pass]
            idle = max(0.0, marks.between(since, ended) - busy)
            return Worked(marks.between(began, ended), busy, idle, len(passes), sum(passes))

        return worked
