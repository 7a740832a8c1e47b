"""Notices on their way out: handed to the gateway that asks, which says what became of them.

One that a gateway does not speak of again is handed out anew: so each is sent at least once, and by
one gateway at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from farm.coordinator.books import Books
from farm.domain.notices import Notice, NoticeOutcome

AT_ONCE: Final = 50
HELD_SECONDS: Final = 120.0
"""How long a gateway has for those that it was handed."""


class Notices:
    """Those that are being sent, by number."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._out: dict[int, float] = {}
        """Number → monotonic seconds until which a gateway has it."""

    def exchange(self, outcomes: Sequence[NoticeOutcome]) -> list[Notice]:
        """Within a transaction: note outcomes, hand out what is due."""
        books, now = self._books, self._books.clock.monotonic()
        books.pending.notices += outcomes
        told = {outcome.number for outcome in outcomes}
        self._out = {n: end for n, end in self._out.items() if end > now and n not in told}
        due = [
            notice
            for notice in books.store.notices(books.clock.now(), AT_ONCE + len(self._out))
            if notice.number not in self._out and notice.number not in told
        ][:AT_ONCE]
        self._out |= {notice.number: now + HELD_SECONDS for notice in due}
        return due
