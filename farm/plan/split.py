"""How many clips one exchange hands to a card: its shard."""

from __future__ import annotations

EXCHANGES_PER_SECOND = 50.0
"""Load that cards which only wait for work may make, all together."""


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


def pause_seconds(*, waiting: bool, cards_online: int, longest: float) -> float:
    """How long a card with nothing to say may be silent.

    A card that waits for work asks every second, so that a submission starts at once; in a large
    fleet more rarely, so that waiting costs the coordinator little.
    """
    if not waiting:
        return longest
    return min(longest, max(1.0, cards_online / EXCHANGES_PER_SECOND))
