"""What cards use without rendering: their time while they hold no clip, and energy beside chunks.

The seconds are looked at with each tick. The energy is what a board's counter says beyond its
chunks' joules; where no sensor measures it, it is not counted.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Final

from farm.domain.usage import NOBODY

if TYPE_CHECKING:
    from farm.coordinator.books import Books

LOOK_SECONDS_MAX: Final = 10.0
"""Counted of the time between two looks: a coordinator that stood still saw nobody idle."""
WRITE_SECONDS: Final = 60.0


class Idling:
    """Idle time and energy of all cards, written down once a minute."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._looked_at = self._wrote_at = books.clock.monotonic()

    def look(self, now: float) -> None:
        """Within a transaction: count the time since the last look."""
        books = self._books
        gap = min(max(0.0, now - self._looked_at), LOOK_SECONDS_MAX)
        self._looked_at = now
        busy, seconds = books.clips.busy, books.policy.lease_seconds
        for card in books.cards:
            if card.is_here(now, seconds) and card.row.card_id not in busy:
                card.meter.idle_seconds += gap
        if now - self._wrote_at >= WRITE_SECONDS:
            self._wrote_at = now
            self._write()

    def _write(self) -> None:
        books, sums = self._books, defaultdict[str, float](float)
        for card in books.cards:
            seconds, joules = card.meter.take_idle(busy=card.row.card_id in books.clips.busy)
            money = books.tariff.money(card.row.card_type, seconds, joules)
            sums["idle_card_seconds"] += seconds
            sums["idle_joules"] += joules
            sums["idle_money"] += money
        if any(sums.values()):
            books.usage.add(NOBODY, **sums)
            books.usage.is_due = True
