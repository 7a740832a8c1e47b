"""First looks and dependencies: what waits for a person, and what waits for other clips."""

from __future__ import annotations

import pytest

from farm.domain.clip import ClipState
from farm.domain.errors import BadDecision
from heliostat.v1 import batch_service_pb2 as batch_pb
from tests.coordinator.conftest import Ground


def looks_at(ground: Ground, clips: int) -> None:
    """A batch, each of whose clips is held after its first chunk."""
    ground.submit(clips, frames=99, first_look=True)
    card = ground.card("a", capacity=1)
    for number in range(1, clips + 1):
        response = card.say()
        assert [lease.chunks_max for lease in response.wanted] == [1]
        card.say(card.chunk((f"b1-{number:05d}", 1), 0))
    assert not card.held
    assert ground.states() == {ClipState.HELD: clips}


def test_every_clip_waits_after_its_first_chunk(ground: Ground) -> None:
    looks_at(ground, 2)
    assert ground.kinds("b1-00001") == ["submit", "lease", "chunk", "gate"]


def test_keepers_go_on_from_their_checkpoints_and_the_others_end(ground: Ground) -> None:
    looks_at(ground, 3)
    scores = {"b1-00001": 5.0, "b1-00002": 2.0}
    assert ground.decide(batch_pb.ScoreRequest(batch_id="b1", scores=scores)) == 2
    approve = batch_pb.LookRequest(batch_id="b1", approve=True, score_min=4.0)
    assert ground.decide(approve) == 1
    reject = batch_pb.LookRequest(batch_id="b1", approve=False, note="no hands")
    assert ground.decide(reject) == 2
    assert ground.states() == {ClipState.QUEUED: 1, ClipState.CANCELLED: 2}
    assert ground.clip("b1-00003").reason == "rejected at its first look: no hands"
    card = ground.card("b", capacity=1)
    response = card.say()
    assert [lease.chunks_max for lease in response.wanted] == [0], "it is looked at only once"
    card.render(("b1-00001", 2), chunks=3, first=1)
    assert ground.states() == {ClipState.DONE: 1, ClipState.CANCELLED: 2}


def test_a_clip_of_one_chunk_is_finished_after_its_approval(ground: Ground) -> None:
    ground.submit(1, frames=33, first_look=True)
    card = ground.card("a", capacity=1)
    card.say()
    card.say(card.chunk(("b1-00001", 1), 0))
    assert ground.states() == {ClipState.HELD: 1}
    ground.decide(batch_pb.LookRequest(batch_id="b1", approve=True))
    card.say()
    card.say(card.take(("b1-00001", 2), frames=33))
    assert ground.states() == {ClipState.DONE: 1}


def test_taking_the_gate_away_lets_all_go_on(ground: Ground) -> None:
    looks_at(ground, 2)
    ground.decide(batch_pb.AmendRequest(batch_id="b1", first_look=False))
    assert ground.states() == {ClipState.QUEUED: 2}


def test_a_gate_survives_a_restart(ground: Ground) -> None:
    looks_at(ground, 1)
    ground.restart()
    ground.decide(batch_pb.LookRequest(batch_id="b1", approve=True))
    assert ground.states() == {ClipState.QUEUED: 1}


def test_a_clip_goes_when_all_takes_that_it_waits_for_are_there(ground: Ground) -> None:
    ground.submit(3, frames=33, after={3: [1, 2]})
    assert ground.states() == {ClipState.QUEUED: 2, ClipState.WAITING: 1}
    card = ground.card("a", capacity=1)
    for number in (1, 2):
        card.say()
        card.render((f"b1-{number:05d}", 1), chunks=1)
        assert ground.clip("b1-00003").state is not ClipState.DONE
    card.say()
    assert card.clips == ["b1-00003"]
    assert ground.kinds("b1-00003") == ["submit", "ready", "lease"]


def test_waiting_survives_a_restart(ground: Ground) -> None:
    ground.submit(2, frames=33, after={2: [1]})
    card = ground.card("a", capacity=1)
    card.say()
    ground.restart()
    card.coordinator = ground.coordinator
    card.say()
    card.render(("b1-00001", 1), chunks=1)
    assert card.clips == ["b1-00002"]


def test_what_depends_on_a_clip_without_a_take_ends_with_the_reason(ground: Ground) -> None:
    ground.submit(4, after={2: [1], 3: [2], 4: [3]})
    cancel = ground.coordinator.cancel("b1", ["b1-00001"], "no", ground.request())
    assert cancel.result == 1
    assert ground.states() == {ClipState.CANCELLED: 4}
    assert (
        "00001 of its batch, on which it depends, was cancelled" in ground.clip("b1-00002").reason
    )


def test_asked_for_again_it_waits_again(ground: Ground) -> None:
    ground.submit(2, frames=33, after={2: [1]})
    ground.coordinator.cancel("b1", ["b1-00001"], "no", ground.request())
    again = (ClipState.CANCELLED,)
    assert ground.coordinator.retry("b1", (), again, ground.request()).result == 2
    assert ground.states() == {ClipState.QUEUED: 1, ClipState.WAITING: 1}
    card = ground.card("a", capacity=1)
    card.say()
    card.render(("b1-00001", 1), chunks=1)
    assert card.clips == ["b1-00002"]


def test_what_depends_on_a_clip_without_a_take_is_asked_for_only_with_that(ground: Ground) -> None:
    ground.submit(3, frames=33, after={2: [1], 3: [2]})
    ground.coordinator.cancel("b1", ["b1-00001"], "no", ground.request())
    again, retry = (ClipState.CANCELLED,), ground.coordinator.retry
    with pytest.raises(BadDecision, match=r"clip 00001 \(cancelled\), which has no take"):
        retry("b1", ["b1-00002", "b1-00003"], again, ground.request())
    assert ground.states() == {ClipState.CANCELLED: 3}
    assert retry("b1", ["b1-00001", "b1-00002"], again, ground.request()).result == 2
    assert ground.states() == {ClipState.QUEUED: 1, ClipState.WAITING: 1, ClipState.CANCELLED: 1}


def test_a_batch_begins_when_the_one_before_it_has_ended(ground: Ground) -> None:
    ground.submit(2, frames=33, batch_id="first")
    ground.submit(2, frames=33, batch_id="second", after_batches=("first",))
    assert ground.states() == {ClipState.QUEUED: 2, ClipState.WAITING: 2}
    card = ground.card("a", capacity=1)
    card.say()
    card.render(("first-00001", 1), chunks=1)
    ground.coordinator.cancel("first", ["first-00002"], "no", ground.request())
    card.say()
    assert card.clips == ["second-00001"], "one that failed or was cancelled has ended too"


def test_a_batch_after_one_that_has_ended_begins_at_once(ground: Ground) -> None:
    ground.submit(1, batch_id="first")
    ground.coordinator.cancel("first", (), "no", ground.request())
    ground.submit(1, batch_id="second", after_batches=("first",))
    ground.tick()
    assert ground.clip("second-00001").state is ClipState.QUEUED
