"""The fleet in a few numbers: what earns, what it should make, what waits, what is late."""

from __future__ import annotations

import pytest

from farm.domain.batch import BatchState
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from tests.coordinator.conftest import Ground


def overview(ground: Ground) -> fleet_pb.GetFleetResponse:
    return ground.coordinator.fleet()[0]


def test_a_card_earns_once_it_renders_and_is_held_to_its_own_pace(ground: Ground) -> None:
    ground.submit(8)
    fast, slow, idle = ground.card("fast"), ground.card("slow"), ground.card("idle", capacity=0)
    idle.say()
    for card, seconds in ((fast, 2.0), (slow, 8.0)):
        card.seconds = seconds
        card.say()
        card.start_all()
        card.say(card.chunk(next(iter(card.held)), 0))
    seen = overview(ground)
    assert (seen.cards, seen.cards_online, seen.cards_earning) == (3, 3, 2)
    assert seen.calibrated_frames_per_second == pytest.approx(33 / 2 + 33 / 8)


def test_the_backlog_is_all_that_is_open_on_the_cards_that_take_clips(ground: Ground) -> None:
    assert not overview(ground).HasField("backlog_seconds")
    ground.submit(3, batch_id="a")
    ground.submit(2, batch_id="paused", state=BatchState.PAUSED)
    card = ground.card("a")
    card.seconds = 2.0
    card.say()
    card.say(card.chunk(next(iter(card.held)), 0))
    assert overview(ground).backlog_seconds == pytest.approx(5 * 2.0)


def test_the_deadline_that_cannot_be_kept_is_shown_before_an_earlier_one_that_can(
    ground: Ground,
) -> None:
    now = ground.clock.now()
    card = ground.card("a")
    card.seconds = 100.0
    ground.submit(1, batch_id="first", deadline=now + 5_000)
    card.say()
    card.say(card.chunk(next(iter(card.held)), 0))
    assert overview(ground).next_deadline.batch_id == "first"
    assert not overview(ground).next_deadline.at_risk
    ground.submit(100, batch_id="large", deadline=now + 6_000)
    seen = overview(ground).next_deadline
    assert (seen.batch_id, seen.at_risk) == ("large", True)
    assert seen.finish_at.seconds > seen.deadline.seconds
    ground.decide(batch_pb.AmendRequest(batch_id="large", no_deadline=True))
    assert overview(ground).next_deadline.batch_id == "first"


def test_without_a_card_nobody_says_when_a_deadline_is_met(ground: Ground) -> None:
    ground.submit(1, deadline=ground.clock.now() + 60)
    seen = overview(ground).next_deadline
    assert seen.at_risk
    assert not seen.HasField("finish_at")
