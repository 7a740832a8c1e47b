"""The picture that quotes are made from says what cards hold, have heard, and will do next."""

from __future__ import annotations

from farm.plan.picture import CardSeen
from tests.coordinator.conftest import CardVoice, Ground


def seen(ground: Ground, card: CardVoice) -> CardSeen:
    """A card as the picture has it."""
    found = ground.coordinator.picture().cards
    return next(each for each in found if each.facts.card_id == card.card_id)


def test_it_says_how_long_cards_were_silent_and_what_they_may_hold(ground: Ground) -> None:
    idle, loading = ground.card("c1", capacity=3), ground.card("c2", capacity=0)
    idle.say()
    ground.clock.time += 4
    loading.say()
    assert (seen(ground, idle).silent, seen(ground, idle).spare) == (4, 2)
    assert (seen(ground, loading).silent, seen(ground, loading).spare) == (0, 0)


def test_it_has_the_clips_that_wait_in_their_order(ground: Ground) -> None:
    ground.card("c1", capacity=1).say()
    ground.submit(3, frames=66)
    ground.card("c1", capacity=1).say()
    (batch,) = ground.coordinator.picture().batches
    assert [left for _, left in batch.order] == [2, 2]
    assert sum(batch.waiting.values()) == 2


def test_it_says_who_is_to_yield_who_has_heard_of_it_and_for_whom(ground: Ground) -> None:
    slow, fast = ground.card("slow", seconds=20.0), ground.card("fast", seconds=1.0)
    ground.submit(2, frames=33 * 40)
    for card in (slow, fast):
        card.say()
        card.start_all()
        card.say(card.chunk(next(iter(card.held)), 0))
    quick = next(iter(fast.held))
    fast.render(quick, chunks=40, first=1)
    (held,) = seen(ground, slow).held
    assert (held.is_new, held.yielding) == (False, False)

    ground.tick()
    (held,) = seen(ground, slow).held
    assert (held.yielding, held.heard, held.kept_for) == (True, False, "fast")
    ground.clock.time += 1
    slow.say()
    (held,) = seen(ground, slow).held
    assert held.heard

    slow.give_up()
    (kept,) = ground.coordinator.picture().kept
    assert (kept.card_id, kept.chunks_left) == ("fast", 39)


def test_a_pace_is_as_measured_and_not_as_written_down(ground: Ground) -> None:
    card = ground.card("c1", seconds=10.0)
    ground.submit(1, frames=66)
    card.say()
    (clip,) = card.held
    card.say(card.chunk(clip, 0))
    card.seconds = 10.4
    card.say(card.chunk(clip, 1))
    assert seen(ground, card).facts.pace == 10.1
