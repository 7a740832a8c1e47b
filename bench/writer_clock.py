"""Where a thread spends its time, by phases that lie inside each other."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class WriterClock:
    """Seconds by phase; a phase within another one counts for itself alone. One thread's."""

    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Begin anew; a phase under way counts from now on."""
        self._began = time.perf_counter()
        self._since = self._began
        self._seconds: defaultdict[str, float] = defaultdict(float)
        self._phases: list[str] = getattr(self, "_phases", [])

    def shares(self) -> dict[str, float]:
        """Phase → share of the time since the beginning; `idle` is what is left."""
        total = time.perf_counter() - self._began
        found = {phase: seconds / total for phase, seconds in self._seconds.items()}
        return {**found, "idle": max(0.0, 1.0 - sum(found.values()))}

    def enter(self, phase: str) -> None:
        """A phase begins; the one around it rests."""
        self._count()
        self._phases.append(phase)

    def leave(self) -> None:
        """The innermost phase ends."""
        self._count()
        self._phases.pop()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Count what is within."""
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def timed(self, phase: str, call: Callable[P, T]) -> Callable[P, T]:
        """`call` as a phase."""

        def timed_call(*args: P.args, **kwargs: P.kwargs) -> T:
            self.enter(phase)
            try:
                return call(*args, **kwargs)
            finally:
                self.leave()

        return timed_call

    def is_within(self, phase: str) -> bool:
        """True inside a phase, however deep."""
        return phase in self._phases

    def _count(self) -> None:
        now = time.perf_counter()
        if self._phases:
            self._seconds[self._phases[-1]] += now - self._since
        self._since = now
