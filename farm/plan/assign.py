"""Which clips go to a card: the queue's order, less what this card must not have."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from farm.domain.clip import Clip

LOOK_AHEAD = 1000
"""Clips looked at before giving up: bounds an exchange when very many are not for this card."""


def assign(
    card_id: str, candidates: Iterable[Clip], *, size: int, cards: Collection[str], now: float
) -> list[Clip]:
    """The first `size` clips of `candidates` that `card_id` may have now.

    `cards` are all cards that can be counted on, `now` is the coordinator's monotonic seconds.
    """
    chosen: list[Clip] = []
    if size <= 0:
        return chosen
    for looked_at, clip in enumerate(candidates):
        if looked_at >= LOOK_AHEAD:
            break
        if clip.not_before <= now and not is_blocked(clip, card_id, cards):
            chosen.append(clip)
            if len(chosen) == size:
                break
    return chosen


def is_blocked(clip: Clip, card_id: str, cards: Collection[str]) -> bool:
    """True when the card failed the clip and another card has not: a card fails a clip only once.

    When every card has failed it, the budget decides, not the block list (REL-7).
    """
    return card_id in clip.blocked and any(other not in clip.blocked for other in cards)
