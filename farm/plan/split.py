"""How many clips one exchange hands to a card: its shard."""

from __future__ import annotations


def shard_size(*, capacity: int, held: int, queued: int, cards_online: int) -> int:
    """Clips to lease now to a card that holds `held` and can hold `capacity`, ≥ 0.

    An idle card gets one whenever there is one. Beyond that it prefetches only while there are
    more queued clips than cards: the last clips of the queue go to whichever card is free first,
    not to the one that happened to ask.
    """
    room = max(0, capacity - held)
    if held == 0 and room > 0 and queued > 0:
        return 1 + max(0, min(room - 1, queued - 1 - cards_online))
    return max(0, min(room, queued - cards_online))
