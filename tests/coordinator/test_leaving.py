"""Cards whose node leaves the farm, and comes back."""

from __future__ import annotations

import pytest

from farm.coordinator.cards import LEAVING
from farm.domain.fleet import Standing
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent import agent
from tests.coordinator.conftest import CardVoice, Ground


def standing(ground: Ground, card: CardVoice) -> tuple[Standing, str]:
    (row,) = [row for row in ground.coordinator.store.cards() if row.card_id == card.card_id]
    return row.standing, row.standing_reason


def test_an_agent_says_it_in_the_words_that_the_coordinator_knows() -> None:
    assert agent.LEAVING == LEAVING


def test_a_card_that_leaves_is_locked_until_it_comes_back(ground: Ground) -> None:
    card = ground.card("c1")
    card.say()
    card.report["condition"] = LEAVING
    card.say()
    assert standing(ground, card) == (Standing.LOCKED, LEAVING), "over restarts too"
    ground.submit(1)
    assert not card.say().wanted
    back = ground.card("c1", incarnation="second")
    assert back.say().standing == types_pb.STANDING_OPEN
    assert standing(ground, back) == (Standing.OPEN, "")


@pytest.mark.parametrize("decided", ["PAUSED", "LOCKED"])
def test_what_a_person_decided_of_a_card_outlives_its_leaving(ground: Ground, decided: str) -> None:
    card = ground.card("c1")
    card.say()
    number = types_pb.Standing.Value(f"STANDING_{decided}")
    ground.decide(fleet_pb.SetStandingRequest(targets=["c1"], standing=number, reason="mine"))
    card.report["condition"] = LEAVING
    card.say()
    back = ground.card("c1", incarnation="second")
    back.say()
    assert standing(ground, back) == (Standing[decided], "mine")
