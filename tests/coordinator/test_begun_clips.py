"""No clip changes its versions in mid-render, whatever a rollout does to the cards."""

from __future__ import annotations

import pytest

from heliostat.v1 import batch_service_pb2 as batch_pb
from tests.coordinator.conftest import Ground
from tests.coordinator.rolling import (
    NEW,
    OLD,
    accept,
    begin,
    fleet_of,
    pass_time,
    runs,
    state,
)

# What is written is the same in both databases; tests/store reads it back from either.
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def test_a_canary_ends_its_clip_before_it_changes(ground: Ground) -> None:
    cards = fleet_of(ground, 2)
    ground.submit(2, frames=99)
    pass_time(ground, cards, 2)
    for card in cards:
        card.chunk()
    begin(ground, cards=["card-0"])
    pass_time(ground, cards, 20)
    assert not cards[0].voice.yields, "it is not asked to give it up"
    assert cards[0].clips
    assert runs(cards) == [OLD, OLD]
    told = ground.coordinator.why("card-0")
    assert "is being changed to release 0.2.0" in told.answer
    cards[0].finish()
    pass_time(ground, cards, 10)
    assert runs(cards) == [NEW, OLD]


def test_a_clip_goes_on_with_its_own_versions_also_when_its_card_dies(
    ground: Ground,
) -> None:
    cards = fleet_of(ground, 2)
    begin(ground, cards=["card-0"])
    pass_time(ground, cards, 10)
    new, old = cards
    assert (new.release, old.release) == (NEW, OLD)
    new.silent = True
    ground.tick(50.0)
    ground.submit(1, frames=99)
    pass_time(ground, cards, 1)
    old.chunk()
    ground.coordinator.lost("card-1", old.voice.incarnation, "its machine died")
    old.silent, new.silent = True, False
    pass_time(ground, cards, 65, step=10.0)
    assert not new.clips
    told = ground.coordinator.why("b1-00001")
    assert "what its first chunks were rendered with" in told.answer
    assert any("card-1" in text for text in told.because)
    old.silent = False
    pass_time(ground, cards, 2)
    assert old.clips == ["b1-00001"]
    old.finish()
    assert ground.states() == {"done": 1}


def test_the_last_old_card_does_what_began_so_before_it_changes(ground: Ground) -> None:
    new, old = cards = fleet_of(ground, 2)
    begin(ground, cards=["card-0"])
    pass_time(ground, cards, 10)
    new.silent = True
    ground.tick(50.0)
    ground.submit(1, frames=99)
    pass_time(ground, cards, 1)
    old.chunk()
    ground.decide(batch_pb.PauseRequest(batch_id="b1"))
    pass_time(ground, cards, 2)
    old.voice.give_up()
    assert not old.clips
    new.silent = False
    accept(ground)
    pass_time(ground, cards, 20)
    assert (old.release, state(ground)) == (OLD, "rolling")
    assert "1 open clip" in ground.coordinator.fleet()[0].rollouts[0].cards[-1].detail
    ground.submit(3, batch_id="later", priority=9)
    ground.decide(batch_pb.ResumeRequest(batch_id="b1"))
    pass_time(ground, cards, 3)
    assert old.clips == ["b1-00001"], "first, whatever its priority"
    old.finish()
    for _ in range(20):
        pass_time(ground, cards, 1)
        old.finish()
    assert (old.release, state(ground)) == (NEW, "done")


def test_a_clip_whose_versions_nobody_has_any_more_is_said_to_need_a_retake(
    ground: Ground,
) -> None:
    (card,) = fleet_of(ground, 1)
    ground.submit(1, frames=99)
    pass_time(ground, [card], 1)
    card.chunk()
    ground.coordinator.lost("card-0", card.voice.incarnation, "reinstalled")
    card.stacks = {OLD: "torch-9,exact", NEW: "torch-9,exact"}
    pass_time(ground, [card], 3)
    assert not card.clips
    told = ground.coordinator.why("b1-00001")
    assert "no card of the farm runs any more" in told.answer
    assert any("farm retake b1" in text for text in told.remedies)
