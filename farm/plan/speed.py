"""How fast cards are, learned from the chunks that they record."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

NEW_PART: Final = 0.25
"""Part of a new measure in what is believed: half of the belief is three chunks old."""
OUTLIER: Final = 3.0
"""A measure further off than this factor counts as one that is just so far off."""


def learned(pace: float, seconds: float, cost: float) -> float:
    """The pace of a card that has taken `seconds` for a chunk of `cost` units.

    A moving average; the first measure (`pace` 0) counts whole. A card that is slow once, because
    somebody used it or it loaded a model, does not lose its place, and one that has become slow
    is known as such after a few chunks. Measures without time or cost tell nothing.
    """
    if seconds <= 0 or cost <= 0:
        return pace
    measured = seconds / cost
    if pace <= 0:
        return measured
    measured = min(max(measured, pace / OUTLIER), pace * OUTLIER)
    return pace + NEW_PART * (measured - pace)


class Paces:
    """The pace of every card, in seconds for a unit of cost.

    A card without a measure is taken for one like the others of its type, else like the fleet's,
    else 1.0: means are kept up to date, so that asking costs nothing in a large fleet.
    """

    __slots__ = ("_counts", "_paces", "_sums", "_types")

    def __init__(self) -> None:
        self._types: dict[str, str] = {}
        self._paces: dict[str, float] = {}
        self._sums: defaultdict[str, float] = defaultdict(float)
        self._counts: Counter[str] = Counter()

    def has(self, card_id: str) -> bool:
        """The card is known, measured or not."""
        return card_id in self._types

    def put(self, card_id: str, card_type: str, pace: float = 0.0) -> None:
        """Note a card, with what was measured of it before; 0 is nothing."""
        self.forget(card_id)
        self._types[card_id] = card_type
        self._set(card_id, pace)

    def learn(self, card_id: str, seconds: float, cost: float) -> float:
        """Note a chunk of `cost` units that took `seconds`; returns the card's pace."""
        self._types.setdefault(card_id, "")
        self._set(card_id, learned(self._paces.get(card_id, 0.0), seconds, cost))
        return self.of(card_id)

    def of(self, card_id: str) -> float:
        """Seconds for a unit of cost: measured, or of cards like it; > 0."""
        if pace := self._paces.get(card_id, 0.0):
            return pace
        of_type = self._mean(self._types.get(card_id, ""))
        return of_type or self._mean(None) or 1.0

    def forget(self, card_id: str) -> None:
        """The card is gone for good."""
        self._set(card_id, 0.0)
        self._types.pop(card_id, None)

    def _set(self, card_id: str, pace: float) -> None:
        before = self._paces.pop(card_id, 0.0)
        kind = self._types.get(card_id, "")
        if before:
            self._add(kind, -before, -1)
        if pace > 0:
            self._paces[card_id] = pace
            self._add(kind, pace, 1)

    def _add(self, kind: str, pace: float, count: int) -> None:
        self._counts[kind] += count
        self._sums[kind] += pace
        if not self._counts[kind]:
            # Nothing is left of it: what rounding has left of its sum must not stay either.
            del self._counts[kind], self._sums[kind]

    def _mean(self, kind: str | None) -> float:
        if kind is None:
            return sum(self._sums.values()) / len(self._paces) if self._paces else 0.0
        return self._sums[kind] / self._counts[kind] if kind in self._counts else 0.0
