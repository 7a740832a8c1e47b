"""What a chunk costs in joules, where the card can measure it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol


class Meter(Protocol):
    """A counter of a card's energy."""

    def read(self) -> float | None:
        """Joules since some moment in the past; None when it cannot be read now."""
        ...


@dataclass(slots=True)
class Spent:
    """Filled in when the block that it measures has ended."""

    joules: float | None = None
    """For each lane; None where nothing was measured."""


class Energy:
    """Measures blocks of work; a block of several lanes is shared out evenly.

    A GPU is up to a pass and the decodes behind its host, where blocks begin and end: what a block
    misses of its end, the next one has. Of work without a next block, that much is not counted.
    """

    def __init__(self, meter: Meter | None) -> None:
        self._meter = meter

    @contextmanager
    def of(self, lanes: int) -> Iterator[Spent]:
        """Measure a block that works for `lanes` clips."""
        spent, before = Spent(), self._read()
        yield spent
        after = self._read()
        if before is not None and after is not None and after >= before:
            spent.joules = (after - before) / lanes

    def _read(self) -> float | None:
        return None if self._meter is None else self._meter.read()
