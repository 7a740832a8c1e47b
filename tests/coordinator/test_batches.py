"""What people ask for: submit, cancel, retry; each answered once, each all or nothing."""

from __future__ import annotations

import pytest

from farm.domain.batch import Batch
from farm.domain.clip import ClipState
from farm.domain.errors import Fenced, NotFound, RequestConflict
from farm.domain.ledger import RequestRow
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import Ground
from tests.fixtures.ledger import new_clip

FAILED_OR_CANCELLED = (ClipState.FAILED, ClipState.CANCELLED)


def test_nothing_is_seen_before_it_is_published(ground: Ground) -> None:
    batch = Batch(batch_id="b9", name="n", project="p", created_at=1.0)
    ground.coordinator.begin(batch)
    ground.coordinator.stage("b9", [new_clip(1)])
    card = ground.card("a")
    card.say()
    assert not card.held
    ground.coordinator.publish("b9", ground.request("b9"))
    card.say()
    assert list(card.held) == [("b9-00001", 1)]


def test_the_same_request_gets_its_first_answer(ground: Ground) -> None:
    request = RequestRow("same", "digest", "b1", 1)
    for batch_id in ("b1", "b2", "b3"):
        batch = Batch(batch_id=batch_id, name="n", project="p", created_at=1.0)
        ground.coordinator.begin(batch)
        ground.coordinator.stage(batch_id, [new_clip(1)])
        answer = ground.coordinator.publish(batch_id, RequestRow("same", "digest", batch_id, 1))
        assert answer == request
    assert ground.states() == {ClipState.QUEUED: 1}


def test_a_request_id_used_for_something_else_is_refused(ground: Ground) -> None:
    ground.submit(1)
    with pytest.raises(RequestConflict, match="use a new request_id"):
        ground.coordinator.cancel("b1", (), "why", RequestRow("request-1", "other", "b1"))
    assert ground.states() == {ClipState.QUEUED: 1}


def test_a_submission_that_lost_its_coordinator_has_to_be_made_again(ground: Ground) -> None:
    batch = Batch(batch_id="b9", name="n", project="p", created_at=1.0)
    ground.coordinator.begin(batch)
    ground.coordinator.stage("b9", [new_clip(1)])
    ground.restart()
    with pytest.raises(NotFound, match="submit it again"):
        ground.coordinator.stage("b9", [new_clip(2)])
    with pytest.raises(NotFound, match="submit it again"):
        ground.coordinator.publish("b9", ground.request("b9"))
    assert ground.states() == {}


def test_a_submission_whose_gateway_died_is_forgotten(ground: Ground) -> None:
    for batch_id in ("left", "fresh"):
        batch = Batch(batch_id=batch_id, name="n", project="p", created_at=1.0)
        ground.coordinator.begin(batch)
    ground.coordinator.stage("left", [new_clip(1)])
    ground.clock.time += 599
    ground.coordinator.stage("fresh", [new_clip(1)])
    ground.coordinator.tick()
    ground.clock.time += 2
    ground.coordinator.tick()
    with pytest.raises(NotFound, match="submit it again"):
        ground.coordinator.publish("left", ground.request("left"))
    ground.coordinator.publish("fresh", ground.request("fresh"))
    assert ground.states() == {ClipState.QUEUED: 1}


def test_cancel_takes_the_lease_away(ground: Ground) -> None:
    ground.submit(3)
    card = ground.card("a")
    card.say()
    answer = ground.coordinator.cancel("b1", (), "not needed", ground.request("b1"))
    assert answer.result == 3
    card.say()
    assert not card.held
    assert ground.states() == {ClipState.CANCELLED: 3}
    assert ground.clip("b1-00001").reason == "not needed"


def test_cancel_some_clips_by_name_or_id(ground: Ground) -> None:
    ground.submit(4)
    names = ("clip 2", "b1-00003")
    assert ground.coordinator.cancel("b1", names, "no", ground.request("b1")).result == 2
    assert ground.states() == {ClipState.QUEUED: 2, ClipState.CANCELLED: 2}
    card = ground.card("a", capacity=9)
    card.say()
    assert {key[0] for key in card.held} <= {"b1-00001", "b1-00004"}


def test_a_clip_that_is_not_there_is_named_and_nothing_is_done(ground: Ground) -> None:
    ground.submit(2)
    names = ("clip 1", "clip 7", "clip 8")
    with pytest.raises(NotFound, match="no clip clip 7, clip 8"):
        ground.coordinator.cancel("b1", names, "no", ground.request("b1"))
    with pytest.raises(NotFound, match="no clip clip 7, clip 8"):
        ground.coordinator.retry("b1", names, FAILED_OR_CANCELLED, ground.request("b1"))
    assert ground.states() == {ClipState.QUEUED: 2}


def test_retry_goes_on_from_the_checkpoint(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    card.say(card.chunk(("b1-00001", 1), 0))
    ground.coordinator.cancel("b1", (), "wait", ground.request("b1"))
    answer = ground.coordinator.retry("b1", (), FAILED_OR_CANCELLED, ground.request("b1"))
    assert answer.result == 1
    card.say()
    assert list(card.held) == [("b1-00001", 2)]
    assert ground.clip("b1-00001").chunks_done == 1


def test_retry_after_everything_has_ended(ground: Ground) -> None:
    ground.submit(2, frames=33)
    card = ground.card("a", capacity=1)
    card.say()
    ((clip_id, attempt),) = card.held
    card.say(card.failure((clip_id, attempt), types_pb.FAILURE_CLASS_INPUT))
    (other,) = card.held
    card.say(card.chunk(other, 0), card.take(other, frames=33))
    assert ground.states() == {ClipState.FAILED: 1, ClipState.DONE: 1}
    ground.restart()
    card.coordinator = ground.coordinator
    answer = ground.coordinator.retry("b1", (), (ClipState.FAILED,), ground.request("b1"))
    assert answer.result == 1
    card.say()
    assert list(card.held) == [(clip_id, attempt + 1)]


def test_done_clips_are_never_retried(ground: Ground) -> None:
    ground.submit(1, frames=33)
    card = ground.card("a")
    card.say()
    card.say(card.chunk(("b1-00001", 1), 0), card.take(("b1-00001", 1), frames=33))
    every = tuple(ClipState)
    assert ground.coordinator.retry("b1", (), every, ground.request("b1")).result == 0
    assert ground.states() == {ClipState.DONE: 1}


def test_higher_priority_goes_first(ground: Ground) -> None:
    ground.submit(3, batch_id="b1")
    ground.submit(1, batch_id="b2", priority=10)
    card = ground.card("a", capacity=1)
    card.say()
    assert list(card.held) == [("b2-00001", 1)]


def test_a_second_coordinator_fences_the_first(ground: Ground) -> None:
    ground.submit(1)
    first = ground.coordinator
    ground.restart()
    card = ground.card("a")
    card.coordinator = first
    with pytest.raises(Fenced):
        card.say()
    card.coordinator = ground.coordinator
    card.say()
    assert list(card.held) == [("b1-00001", 1)]


def test_a_restart_continues_all_open_batches(ground: Ground) -> None:
    for number in range(3):
        ground.submit(2, batch_id=f"b{number}", frames=33)
    card = ground.card("a", capacity=1)
    for _ in range(6):
        card.coordinator = ground.restart()
        card.say()
        (key,) = card.held
        card.say(card.chunk(key, 0), card.take(key, frames=33))
    assert ground.states() == {ClipState.DONE: 6}
