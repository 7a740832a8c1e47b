"""A release comes to one card first, is compared, is accepted, and comes to all; or goes back."""

from __future__ import annotations

import pytest

from tests.coordinator.conftest import Ground
from tests.coordinator.rolling import (
    NEW,
    OLD,
    RollingCard,
    accept,
    back,
    begin,
    pass_time,
    reason,
    runs,
    state,
    steps,
)


def fleet_of(ground: Ground, number: int, **more: object) -> list[RollingCard]:
    cards = [RollingCard(ground, f"card-{n}", **more) for n in range(number)]  # type: ignore[arg-type]
    pass_time(ground, cards, 1)
    return cards


def test_a_harmless_release_waits_on_its_canary_and_comes_to_all_once_it_is_accepted(
    ground: Ground,
) -> None:
    cards = fleet_of(ground, 3)
    begin(ground)
    pass_time(ground, cards, 20)
    assert state(ground) == "waiting"
    assert runs(cards) == [NEW, OLD, OLD]
    (change,) = ground.coordinator.store.rollout_cards(1)
    assert (change.psnr_db, change.equal) == (51.5, False)
    assert (change.stack_before, change.stack_after) == ("torch-2.13,exact", "torch-2.14,exact")
    pass_time(ground, cards, 100)
    assert runs(cards) == [NEW, OLD, OLD], "a person decides"
    accept(ground)
    pass_time(ground, cards, 40)
    assert state(ground) == "done"
    assert runs(cards) == [NEW, NEW, NEW]
    assert [card.starts for card in cards] == [2, 2, 2]


def test_a_wrong_picture_stays_on_the_canary_and_goes_back_by_itself(ground: Ground) -> None:
    cards = fleet_of(ground, 3, passes={NEW: False})
    begin(ground)
    pass_time(ground, cards, 30)
    assert state(ground) == "back"
    assert "12.0 dB" in reason(ground)
    assert runs(cards) == [OLD, OLD, OLD]
    assert steps(ground) == {"card-0": "returned"}
    assert [card.starts for card in cards] == [3, 1, 1]
    ground.submit(3)
    pass_time(ground, cards, 2)
    assert all(card.clips for card in cards), "it works on"


def test_one_command_brings_all_cards_back(ground: Ground) -> None:
    cards = fleet_of(ground, 3)
    begin(ground)
    pass_time(ground, cards, 20)
    accept(ground)
    pass_time(ground, cards, 40)
    assert state(ground) == "done"
    back(ground)
    pass_time(ground, cards, 40)
    assert runs(cards) == [OLD, OLD, OLD]
    assert set(steps(ground).values()) == {"returned"}
    assert pytest
