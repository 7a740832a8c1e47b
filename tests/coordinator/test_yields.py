"""A card is given up at a chunk boundary: for priorities, drains, pauses, faster cards."""

from __future__ import annotations

import pytest

from farm.domain.clip import ClipState
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import CardVoice, Ground


def busy(ground: Ground, card: CardVoice, frames: int = 99) -> None:
    """A card in the middle of a clip."""
    ground.submit(1, frames=frames)
    card.say()
    card.say(card.chunk(("b1-00001", 1), 0))


def test_an_urgent_clip_gets_the_card_and_the_other_goes_on_from_its_checkpoint(
    ground: Ground,
) -> None:
    card = ground.card("a", capacity=1)
    busy(ground, card)
    ground.submit(1, batch_id="urgent", priority=1)
    ground.tick()
    card.say()
    assert card.yields == [("b1-00001", 1)]
    card.give_up()
    assert card.clips == ["urgent-00001"]
    assert ground.details("b1-00001", "yield") == ["batch urgent of priority 1 waits for a card"]
    card.render(("urgent-00001", 1))
    assert list(card.held) == [("b1-00001", 2)]
    clip = ground.clip("b1-00001")
    assert (clip.chunks_done, clip.losses, clip.failures) == (1, 0, 0), "nothing is spent"


def test_an_equal_priority_displaces_nobody(ground: Ground) -> None:
    card = ground.card("a", capacity=1)
    busy(ground, card)
    ground.submit(1, batch_id="later")
    ground.tick()
    card.say()
    assert card.yields == []


def test_no_more_cards_are_asked_than_clips_wait(ground: Ground) -> None:
    ground.submit(3, frames=99)
    cards = [ground.card(name, capacity=1) for name in "abc"]
    for card in cards:
        card.say()
    ground.submit(1, batch_id="urgent", priority=1)
    for _ in range(3):
        ground.tick()
        for card in cards:
            card.say()
    assert sum(len(card.yields) for card in cards) == 1


def test_an_idle_card_spares_the_others(ground: Ground) -> None:
    card, idle = ground.card("a", capacity=1), ground.card("idle", capacity=1)
    busy(ground, card)
    idle.say()
    ground.submit(1, batch_id="urgent", priority=1)
    ground.tick()
    card.say()
    assert card.yields == []
    idle.say()
    assert idle.clips == ["urgent-00001"]


@pytest.mark.parametrize("standing", ["PAUSED", "DRAINING", "QUARANTINED"])
@pytest.mark.parametrize("target", ["host", "a"])
def test_a_node_or_card_that_may_not_go_on_gives_up_what_it_holds(
    ground: Ground, standing: str, target: str
) -> None:
    card = ground.card("a", capacity=2)
    busy(ground, card)
    number = types_pb.Standing.Value(f"STANDING_{standing}")
    ground.decide(fleet_pb.SetStandingRequest(targets=[target], standing=number, reason="mine"))
    ground.tick()
    assert card.say().standing == number
    assert card.yields == [("b1-00001", 1)]
    card.give_up()
    assert card.clips == []
    assert ground.states() == {ClipState.QUEUED: 1}
    open_ = types_pb.STANDING_OPEN
    ground.decide(fleet_pb.SetStandingRequest(targets=[target], standing=open_))
    ground.tick()
    card.say()
    assert list(card.held) == [("b1-00001", 2)]
    assert ground.ledger is not None
    kinds = [event.event.kind for event in ground.ledger.fleet_events("", limit=9)]
    assert len(kinds) == 2


def test_a_locked_card_ends_what_it_holds_and_takes_no_more(ground: Ground) -> None:
    card = ground.card("a", capacity=1)
    busy(ground, card)
    ground.submit(1, batch_id="more")
    locked = types_pb.STANDING_LOCKED
    ground.decide(fleet_pb.SetStandingRequest(targets=["a"], standing=locked))
    ground.tick()
    card.render(("b1-00001", 1), chunks=3, first=1)
    assert card.yields == []
    assert card.clips == []
    assert ground.states() == {ClipState.DONE: 1, ClipState.QUEUED: 1}


def test_a_node_renders_within_its_hours(ground: Ground) -> None:
    """The clock of these tests begins on Tuesday, 14 November 2023, 22:30 UTC."""
    ground.decide(fleet_pb.SetNodeRequest(hostname="host", schedule="mon-fri 19:00-23:00"))
    card = ground.card("a", capacity=1)
    ground.tick()
    busy(ground, card)
    ground.tick(3600)
    card.say()
    ground.coordinator.tick()
    card.say()
    assert card.yields == [("b1-00001", 2)] or not card.held
    card.give_up()
    card.say()
    assert card.clips == []
    ground.tick(20 * 3600)
    card.say()
    ground.coordinator.tick()
    card.say()
    assert card.clips == ["b1-00001"]


def test_a_paused_batch_gives_its_cards_to_others_and_goes_on_when_resumed(ground: Ground) -> None:
    card = ground.card("a", capacity=1)
    busy(ground, card)
    ground.submit(1, batch_id="other")
    ground.decide(batch_pb.PauseRequest(batch_id="b1", reason="wrong prompt"))
    ground.tick()
    card.say()
    assert card.yields == [("b1-00001", 1)]
    card.give_up()
    assert card.clips == ["other-00001"]
    card.render(("other-00001", 1))
    assert card.clips == []
    ground.decide(batch_pb.ResumeRequest(batch_id="b1"))
    card.say()
    assert list(card.held) == [("b1-00001", 2)]
    assert ground.clip("b1-00001").chunks_done == 1


def test_at_the_tail_a_straggler_yields_to_a_faster_idle_card(ground: Ground) -> None:
    slow, fast = ground.card("slow", capacity=1), ground.card("fast", capacity=1)
    slow.seconds, fast.seconds = 50.0, 10.0
    ground.submit(2, frames=33 * 8)
    slow.say()
    fast.say()
    slow.say(slow.chunk(("b1-00001", 1), 0))
    fast.render(("b1-00002", 1), chunks=8)
    ground.tick()
    slow.say()
    assert slow.yields == [("b1-00001", 1)]
    fast.say()
    assert fast.clips == [], "the clip is still at its chunk"
    slow.give_up()
    assert slow.clips == [], "it is kept for the faster card"
    fast.say()
    assert list(fast.held) == [("b1-00001", 2)]
    ground.tick()
    fast.say()
    assert fast.yields == [], "and stays there"


def test_a_prefetched_clip_goes_to_a_card_that_stands_idle(ground: Ground) -> None:
    one, two = ground.card("one", capacity=3, seconds=10.0), ground.card("two", capacity=1)
    two.capacity = 0
    two.say()
    ground.submit(4, frames=33 * 4)
    one.say()
    held = list(one.held)
    assert len(held) == 2
    one.say(one.chunk(held[0], 0))
    ground.decide(batch_pb.AmendRequest(batch_id="b1", every=1))
    two.capacity = 1
    for _ in range(2):
        two.say()
        two.render(next(iter(two.held)), chunks=4)
    ground.tick()
    one.say()
    assert one.yields == [held[1]]


def slow_cards(ground: Ground, *names: str, seconds: float = 50.0) -> list[CardVoice]:
    """Each in the midst of a clip of 8 chunks, the first of which has told its pace."""
    cards = [ground.card(name, capacity=1, seconds=seconds) for name in names]
    ground.submit(len(cards), frames=33 * 8)
    for card in cards:
        card.say()
        card.start_all()
        card.say(card.chunk(next(iter(card.held)), 0))
    return cards


def idle_card(ground: Ground, seconds: float) -> CardVoice:
    """One that has told its pace, and has nothing to do."""
    card = ground.card("fast", capacity=1, seconds=seconds)
    ground.submit(1, batch_id="first")
    card.say()
    card.render(("first-00001", 1))
    return card


def test_an_idle_card_is_promised_one_clip_however_often_it_is_looked_at(ground: Ground) -> None:
    """The clip comes at the end of its chunk, many looks later."""
    fast, cards = idle_card(ground, 10.0), slow_cards(ground, "a", "b", "c")
    for _ in range(3):
        ground.tick()
        for card in cards:
            card.say()
    assert sum(len(card.yields) for card in cards) == 1
    fast.say()
    assert fast.clips == []


def test_a_clip_is_kept_for_a_faster_card_as_long_as_its_chunk_takes(ground: Ground) -> None:
    fast, (slow,) = idle_card(ground, 10.0), slow_cards(ground, "a", seconds=200.0)
    ground.tick()
    slow.say()
    assert slow.yields == [("b1-00001", 1)]
    for _ in range(6):
        ground.tick(30.0)
        slow.say()
        fast.say()
    slow.give_up()
    assert slow.clips == [], "after three minutes it is still kept"
    fast.say()
    assert fast.clips == ["b1-00001"]


def test_a_clip_is_not_kept_for_a_card_that_dies(ground: Ground) -> None:
    fast, (slow,) = idle_card(ground, 10.0), slow_cards(ground, "a", seconds=200.0)
    ground.tick()
    slow.say()
    assert slow.yields == [("b1-00001", 1)]
    ground.coordinator.lost("fast", fast.incarnation, "killed")
    ground.tick()
    slow.give_up()
    assert slow.clips == ["b1-00001"]


def test_nothing_moves_to_an_idle_card_while_clips_wait_that_it_may_have(ground: Ground) -> None:
    fast, one = idle_card(ground, 10.0), ground.card("one", capacity=3, seconds=50.0)
    ground.submit(4, frames=33 * 4)
    one.say()
    assert len(one.held) == 2
    ground.tick()
    one.say()
    assert one.yields == []
    fast.say()
    assert fast.clips == ["b1-00003"]


def test_a_clip_that_overtook_one_of_higher_rank_on_its_card_yields(ground: Ground) -> None:
    """A card begins with what is ready first, and one that resumes has its chunks to fetch."""
    card = ground.card("a", capacity=3)
    card.say()
    ground.submit(3, batch_id="long", frames=33 * 8)
    ground.submit(1, batch_id="urgent", priority=1)
    card.say()
    urgent, overtaking = card.held
    assert urgent == ("urgent-00001", 1)
    card.held[overtaking] = True
    card.say()
    ground.tick()
    card.say()
    assert card.yields == [overtaking]
    card.held[urgent] = True
    card.give_up()
    ground.tick()
    card.say()
    assert card.yields == [], "what waits behind it waits its turn"
