"""Which cards are to be given up for clips of higher rank that wait.

Only a strictly higher rank displaces: a higher priority, or within one a deadline that is near.
Fair shares never do, or projects would take each other's cards in turn for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice, takewhile

Rank = tuple[float, float]
"""(minus priority, deadline where it is near and can hold, else infinite); the smaller first."""


@dataclass(frozen=True, slots=True)
class Wanting:
    """A batch with clips that wait."""

    batch_id: str
    rank: Rank
    clips: int
    """That could go out at once: no more than its project's cap and its limits leave."""
    may_have: Callable[[str], bool]
    """Whether a card, by its id, may render them."""
    like: Hashable = None
    """Batches with the same one, not None, may have the same cards: where the first finds no
    more, the others are not looked at, which keeps a tick short with many batches and cards."""


@dataclass(frozen=True, slots=True)
class Occupied:
    """A card that is at work and was not asked to give anything up."""

    card_id: str
    rank: Rank
    """Of the lowest that it holds."""
    seconds_to_boundary: float = 0.0
    """Until it could be free: what is left of its chunk, or a chunk's time where that is
    unknown."""


def victims(
    wanting: Iterable[Wanting], occupied: Iterable[Occupied], free: Iterable[str]
) -> list[tuple[str, str]]:
    """(card, batch that it is given up for), for batches in the order of their ranks.

    `free` are cards that hold nothing, or were asked to yield already: each serves one waiting
    clip, so no more cards are given up than clips wait beyond those, however often this is
    called before the first has yielded. The lowest rank yields first, and of equals the card
    that is free soonest.
    """
    left = _Left(occupied)
    unused, found = dict.fromkeys(free), list[tuple[str, str]]()
    in_vain: set[Hashable] = set()
    for batch in sorted(wanting, key=lambda batch: batch.rank):
        if batch.like in in_vain or not batch.clips:
            continue
        served = _first(unused, batch.may_have, batch.clips)
        for card_id in served:
            del unused[card_id]
        if not left.has_below(batch.rank):
            break
        more = batch.clips - len(served)
        chosen = left.take(batch, more)
        found += [(card_id, batch.batch_id) for card_id in chosen]
        if len(chosen) < more and batch.like is not None:
            in_vain.add(batch.like)
    return found


class _Left:
    """Cards at work that were not given up yet, in the order in which they are."""

    def __init__(self, occupied: Iterable[Occupied]) -> None:
        self._cards = sorted(occupied, key=_last_of_all, reverse=True)
        self._taken: set[str] = set()
        self._from = 0

    def has_below(self, rank: Rank) -> bool:
        """Some card holds something of a lower rank."""
        while self._from < len(self._cards) and self._cards[self._from].card_id in self._taken:
            self._from += 1
        return self._from < len(self._cards) and self._cards[self._from].rank > rank

    def take(self, batch: Wanting, most: int) -> Sequence[str]:
        """Up to so many that a batch may have instead."""
        lower = takewhile(
            lambda card: card.rank > batch.rank, islice(self._cards, self._from, None)
        )
        chosen = _first(
            (card.card_id for card in lower if card.card_id not in self._taken),
            batch.may_have,
            most,
        )
        self._taken.update(chosen)
        return chosen


def _last_of_all(card: Occupied) -> tuple[Rank, float, str]:
    return (card.rank, -card.seconds_to_boundary, card.card_id)


def _first(cards: Iterable[str], fits: Callable[[str], bool], most: int) -> Sequence[str]:
    """The first `most` that fit; no more are looked at than that takes."""
    found: list[str] = []
    if most <= 0:
        return found
    for card_id in cards:
        if fits(card_id):
            found.append(card_id)
            if len(found) == most:
                break
    return found
