"""Questions for lines of cards' logs, asked in exchanges until they are answered; memory only."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from farm.domain.errors import FarmError
from heliostat.v1 import node_service_pb2 as node_pb

ASKED_SECONDS: Final = 40.0
"""Then a question is forgotten, answered or not; no gateway waits for so long."""
OPEN_MAX: Final = 16
CARDS_MAX: Final = 32
"""That one question may be for: with pages of 256 KiB all answers together have 128 MiB at most."""
ASKED_AT_ONCE: Final = 4
"""Questions in one response to a card."""


class TooManyQuestions(FarmError):
    """So many logs are being asked for that this one has to wait."""

    reason = "GATEWAY_BUSY"


@dataclass(slots=True)
class _Open:
    message: node_pb.LogQuestion
    cards: frozenset[str]
    until: float
    """Monotonic seconds."""
    answers: dict[str, node_pb.LogPage] = field(default_factory=dict)


class Questions:
    """Those of one coordinator. Numbers tell its epoch, so that none is taken for an older one."""

    def __init__(self, epoch: int) -> None:
        self._last = epoch << 24
        self._open: dict[int, _Open] = {}

    def ask(self, question: node_pb.LogQuestion, cards: Sequence[str], now: float) -> int:
        """Ask cards from now on; returns the number to get the answers by.

        Raises `TooManyQuestions`.
        """
        self._forget(now)
        if len(self._open) >= OPEN_MAX or len(cards) > CARDS_MAX:
            raise TooManyQuestions(
                f"{len(self._open)} logs of others are being read (at most {OPEN_MAX} at once, of "
                f"{CARDS_MAX} cards each): ask again in a minute, or for fewer cards"
            )
        self._last += 1
        message = node_pb.LogQuestion()
        message.CopyFrom(question)
        message.number = self._last
        self._open[self._last] = _Open(message, frozenset(cards), now + ASKED_SECONDS)
        return self._last

    def answers(self, number: int) -> Mapping[str, node_pb.LogPage]:
        """Card → its page, of those that have answered; none of a question that is not there."""
        found = self._open.get(number)
        return found.answers if found is not None else {}

    def absorb(self, card_id: str, pages: Iterable[node_pb.LogPage]) -> None:
        """Keep what a card answers."""
        for page in pages:
            found = self._open.get(page.number)
            if found is not None and card_id in found.cards:
                found.answers[card_id] = page

    def of(self, card_id: str, now: float) -> list[node_pb.LogQuestion]:
        """What a card is asked now."""
        if not self._open:
            return []
        self._forget(now)
        waiting = [
            each.message
            for each in self._open.values()
            if card_id in each.cards and card_id not in each.answers
        ]
        return waiting[:ASKED_AT_ONCE]

    def _forget(self, now: float) -> None:
        self._open = {n: each for n, each in self._open.items() if now < each.until}
