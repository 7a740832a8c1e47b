"""How many clips one exchange hands to a card: its shard."""

from __future__ import annotations

from collections.abc import Sequence

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


def is_fed(
    *,
    units_held: Sequence[float],
    chunk_units: float,
    pace: float,
    lanes: int,
    round_trip_seconds: float,
) -> bool:
    """Whether a card has work for so long that its next clip can wait for a later exchange.

    A card speaks whenever a chunk is done. So it is enough to hold two chunks' time, one in
    render and one on its way to the store, and what an exchange and fetching inputs take
    (`round_trip_seconds`); all that is not handed out yet can still go to the card that is free
    first. `units_held` is the cost of what is left of each clip that is held, `pace` the seconds
    for a unit, 0 where nothing is measured: then one clip is held beside those in render.
    """
    if len(units_held) < lanes:
        return False
    if pace <= 0:
        return len(units_held) > lanes
    seconds_held = sum(units_held) * pace / lanes
    return seconds_held >= 2 * chunk_units * pace + round_trip_seconds


def pause_seconds(*, waiting: bool, cards_online: int, longest: float) -> float:
    """How long a card with nothing to say may be silent.

    A card that waits for work asks every second, so that a submission starts at once; in a large
    fleet more rarely, so that waiting costs the coordinator little.
    """
    if not waiting:
        return longest
    return min(longest, max(1.0, cards_online / EXCHANGES_PER_SECOND))
