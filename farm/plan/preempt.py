"""Which cards are to be given up for clips of higher rank that wait.

Only a strictly higher rank displaces: a higher priority, or within one a deadline that is near.
Fair shares never do, or projects would take each other's cards in turn for ever.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

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
    left = sorted(
        occupied,
        key=lambda card: (card.rank, -card.seconds_to_boundary, card.card_id),
        reverse=True,
    )
    unused, found = dict.fromkeys(free), list[tuple[str, str]]()
    for batch in sorted(wanting, key=lambda batch: batch.rank):
        served = _first((c for c in unused), batch.may_have, batch.clips)
        for card_id in served:
            del unused[card_id]
        lower = (card.card_id for card in left if card.rank > batch.rank)
        chosen = _first(lower, batch.may_have, batch.clips - len(served))
        found += [(card_id, batch.batch_id) for card_id in chosen]
        gone = set(chosen)
        left = [card for card in left if card.card_id not in gone] if gone else left
        if not left or left[0].rank <= batch.rank:
            break
    return found


def _first(cards: Iterable[str], fits: Callable[[str], bool], most: int) -> Sequence[str]:
    """The first `most` that fit; no more are looked at than that takes."""
    found: list[str] = []
    for card_id in cards:
        if len(found) >= most:
            break
        if fits(card_id):
            found.append(card_id)
    return found
