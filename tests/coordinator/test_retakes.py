"""New versions in the coordinator's hands: leased like any clip, and there after a restart."""

from dataclasses import replace

import pytest

from farm.domain.batch import Order
from farm.domain.clip import ClipState
from farm.domain.errors import BadDecision
from farm.domain.ledger import RequestRow
from farm.domain.spec import Origin
from heliostat.v1 import batch_service_pb2 as batch_pb
from tests.coordinator.conftest import Ground
from tests.fixtures.ledger import new_clip


def delivered(ground: Ground, clips: int = 1) -> None:
    ground.submit(clips)
    card = ground.card("a", capacity=1)
    card.say()
    while card.held:
        card.render(next(iter(card.held)))


def test_a_retake_of_an_ended_batch_is_leased_and_delivered(ground: Ground):
    delivered(ground)
    request = batch_pb.RetakeRequest(batch_id="b1", clips=["b1-00001"], new_seed=True)
    assert ground.decide(request) == 2
    card = ground.card("a")
    card.say()
    assert card.clips == ["b1-00002"]
    card.render(("b1-00002", 1))
    assert ground.states() == {ClipState.DONE: 2}


def test_an_extension_goes_on_where_its_base_ended(ground: Ground):
    delivered(ground)
    ground.decide(batch_pb.RetakeRequest(batch_id="b1", clips=["b1-00001"], frames=132))
    assert ground.details("b1-00002", "submit") == ["extend of v001"]
    ground.restart()
    card = ground.card("a", incarnation="second")
    card.say()
    card.render(("b1-00002", 1), chunks=4, first=2)
    assert ground.states() == {ClipState.DONE: 2}
    assert ground.kinds("b1-00002") == ["submit", "lease", "chunk", "chunk", "done"]


def test_a_last_chunk_that_was_trimmed_is_not_taken_over(ground: Ground):
    ground.submit(1, frames=50)
    card = ground.card("a")
    card.say()
    (clip,) = card.held
    card.say(card.chunk(clip, 0))
    card.say(card.chunk(clip, 1, frames=17))
    card.say(card.take(clip, frames=50))
    ground.decide(batch_pb.RetakeRequest(batch_id="b1", clips=["b1-00001"], frames=99))
    assert ground.clip("b1-00002").chunks_done == 1
    branch = batch_pb.RetakeRequest(
        batch_id="b1", clips=["b1-00001"], from_chunk=2, frames=99, new_seed=True
    )
    with pytest.raises(BadDecision, match="1 whole chunks"):
        ground.decide(branch)


def test_a_cancelled_batch_has_no_new_versions(ground: Ground):
    delivered(ground, 2)
    ground.submit(1, batch_id="b2")
    ground.coordinator.cancel("b2", [], "off", ground.request("b2"))
    with pytest.raises(BadDecision, match="cancelled"):
        ground.decide(batch_pb.RetakeRequest(batch_id="b2", clips=["b2-00001"]))


def test_the_same_request_makes_one_version(ground: Ground):
    delivered(ground)
    message = batch_pb.RetakeRequest(batch_id="b1", clips=["b1-00001"]).SerializeToString()
    request = RequestRow("r", "d", "b1")
    first = ground.coordinator.decide("RetakeRequest", message, request)
    assert ground.coordinator.decide("RetakeRequest", message, request) == first
    assert sum(ground.states().values()) == 2


@pytest.mark.parametrize("every", [0, 1, 3])
def test_clips_join_a_batch_that_renders(ground: Ground, every: int):
    ground.submit(4, order=Order(every))
    card = ground.card("a", capacity=1)
    card.say()
    target = ground.coordinator.store.batch("b1")
    ground.coordinator.begin(replace(target, batch_id="b2", joins="b1"))
    new = replace(new_clip(5, "clip 4"), version=2, origin=Origin("retake", "b1-00004"))
    ground.coordinator.stage("b2", [new])
    ground.coordinator.publish("b2", ground.request("b1"))
    assert card.say().wanted
    assert len(card.clips) == 1
    while card.held:
        card.render(next(iter(card.held)))
    assert ground.states() == {ClipState.DONE: 5}
