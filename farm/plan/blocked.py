"""Which cards a clip may not have: those that failed it already."""

from __future__ import annotations

from collections.abc import Iterable

from farm.domain.clip import Clip


def is_blocked(clip: Clip, card_id: str, cards: Iterable[str]) -> bool:
    """True when the card failed the clip and another card has not: a card fails a clip only once.

    When every card has failed it, the budget decides, not the block list (REL-7).
    """
    return card_id in clip.blocked and any(other not in clip.blocked for other in cards)
