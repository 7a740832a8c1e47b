"""What failures lead to: other cards, quarantine, a batch on hold; and deadlines that come near."""

from __future__ import annotations

from farm.domain.clip import ClipState
from farm.domain.fleet import Needs, Standing
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import CardVoice, Ground

NODE, INPUT = types_pb.FAILURE_CLASS_NODE, types_pb.FAILURE_CLASS_INPUT


def fail_next(ground: Ground, card: CardVoice, kind: types_pb.FailureClass.ValueType) -> str:
    ground.clock.time += 70  # any backoff is over
    card.say()
    key = next(iter(card.held))
    card.say(card.failure(key, kind, "no luck"))
    return key[0]


def standing(ground: Ground, card_id: str) -> Standing:
    card = ground.coordinator.books.cards.get(card_id)
    assert card is not None
    return card.row.standing


def test_a_card_that_fails_different_clips_is_quarantined_examined_and_comes_back(
    ground: Ground,
) -> None:
    bad, good = ground.card("bad", capacity=1), ground.card("good", capacity=0)
    ground.submit(9)
    good.say()
    for _ in range(ground.policy.quarantine_clips):
        good.say()
        fail_next(ground, bad, NODE)
    assert standing(ground, "bad") is Standing.QUARANTINED
    ground.tick()
    response = bad.say()
    assert not bad.held
    assert response.standing == types_pb.STANDING_QUARANTINED
    assert response.examine > 0
    bad.report["examination"] = node_pb.Examination(
        number=response.examine, passed=True, detail="golden chunk equal"
    )
    bad.say()
    ground.tick()
    assert standing(ground, "bad") is Standing.OPEN
    bad.say()
    assert bad.held
    assert ground.ledger is not None
    events = [row.event for row in reversed(ground.ledger.fleet_events("bad", limit=9))]
    assert [event.kind for event in events] == ["quarantine", "release"]
    assert "no luck" in events[0].detail
    assert "golden chunk equal" in events[1].detail


def test_quarantine_outlives_the_coordinator(ground: Ground) -> None:
    bad, good = ground.card("bad", capacity=1), ground.card("good", capacity=0)
    ground.submit(9)
    for _ in range(ground.policy.quarantine_clips):
        good.say()
        fail_next(ground, bad, NODE)
    ground.restart()
    bad.coordinator = ground.coordinator
    ground.tick()
    bad.say()
    assert not bad.held


def test_a_card_that_fails_its_examination_stays_out_and_is_examined_again(
    ground: Ground,
) -> None:
    bad, good = ground.card("bad", capacity=1), ground.card("good", capacity=0)
    ground.submit(9)
    for _ in range(ground.policy.quarantine_clips):
        good.say()
        fail_next(ground, bad, NODE)
    number = bad.say().examine
    bad.report["examination"] = node_pb.Examination(number=number, passed=False, detail="differs")
    bad.say()
    ground.tick()
    assert standing(ground, "bad") is Standing.QUARANTINED
    ground.tick(ground.policy.examine_again_seconds + 1)
    assert bad.say().examine > number


def test_a_poison_clip_fails_on_two_cards_and_harms_none(ground: Ground) -> None:
    ground.submit(1)
    one, two = ground.card("one", capacity=1), ground.card("two", capacity=1)
    two.capacity = 0
    two.say()
    fail_next(ground, one, INPUT)
    two.capacity = 1
    fail_next(ground, two, INPUT)
    assert ground.states() == {ClipState.FAILED: 1}
    assert standing(ground, "one") is standing(ground, "two") is Standing.OPEN


def test_a_clip_goes_elsewhere_only_where_its_batch_may_go(ground: Ground) -> None:
    """A card fails a clip only once, as long as another *eligible* card exists."""
    ground.submit(1, needs=Needs(tags=("big",)))
    big = ground.card("big", capacity=1, report={"tags": ["big"]})
    ground.card("small").say()
    fail_next(ground, big, NODE)
    ground.clock.time += 70
    big.say()
    assert big.clips == ["b1-00001"], "no other card could have it"


def test_a_batch_is_paused_when_too_many_of_its_clips_have_failed(ground: Ground) -> None:
    ground.submit(6, failures_max=2)
    cards = [ground.card(name, capacity=1) for name in ("one", "two")]
    for _ in range(2):
        for card in cards:
            ground.clock.time += 70
            for each in cards:
                each.say()
            key = next(iter(card.held))
            other = next(each for each in cards if each is not card)
            card.say(card.failure(key, INPUT, "a bad image"))
            for clip in list(other.held):
                if clip[0] == key[0]:
                    other.say(other.failure(clip, INPUT, "a bad image"))
        if ground.states().get(ClipState.FAILED, 0) >= 2:
            break
    while ground.states().get(ClipState.FAILED, 0) < 2:
        for card in cards:
            ground.clock.time += 70
            card.say()
            if card.held:
                card.say(card.failure(next(iter(card.held)), INPUT, "a bad image"))
    batch = ground.coordinator.store.batch("b1")
    assert batch.state == "paused"
    assert "2" in batch.reason
    ground.tick()
    for card in cards:
        card.say()
        card.give_up()
        assert not card.held


def test_a_deadline_that_comes_near_moves_its_batch_up(ground: Ground) -> None:
    card = ground.card("a", capacity=1, seconds=100.0)
    ground.submit(1, batch_id="measure")
    card.say()
    card.render(("measure-00001", 1))
    ground.submit(5, batch_id="early")
    now = ground.clock.now()
    ground.submit(1, batch_id="due", deadline=now + 900.0)
    ground.tick()
    card.say()
    assert card.clips == ["early-00001"], "there is time for others first"
    for _ in range(60):
        ground.tick(10)
        card.say()
    assert card.yields == [("early-00001", 1)]
    card.give_up()
    assert card.clips == ["due-00001"]


def test_a_deadline_that_cannot_hold_is_said_early_and_once(ground: Ground) -> None:
    card = ground.card("a", capacity=1, seconds=100.0)
    ground.submit(1, batch_id="measure")
    card.say()
    card.render(("measure-00001", 1))
    ground.submit(5, batch_id="due", deadline=ground.clock.now() + 300.0)
    for _ in range(3):
        ground.tick()
        card.say()
    assert ground.ledger is not None
    events = ground.ledger.events(after=0, limit=100, batch_id="due")
    said = [event.detail for event in events if event.kind == "deadline"]
    assert len(said) == 1, said


def test_what_did_not_fit_is_tried_where_there_is_more_memory(ground: Ground) -> None:
    oom = types_pb.FAILURE_CLASS_OUT_OF_MEMORY
    ground.submit(1)
    cards = {
        name: ground.card(name, capacity=0, report={"vram_bytes": gib << 30})
        for name, gib in (("small", 8), ("other", 8), ("large", 24), ("middle", 16))
    }
    for card in cards.values():
        card.say()
    cards["small"].capacity = 1
    fail_next(ground, cards["small"], oom)
    ground.clock.time += 2
    for name in ("other", "large", "middle"):
        cards[name].capacity = 1
        cards[name].say()
    assert {name: bool(card.held) for name, card in cards.items()} == {
        "small": False, "other": False, "large": False, "middle": True,
    }  # fmt: skip


def test_a_batch_that_was_resumed_is_paused_only_by_new_failures(ground: Ground) -> None:
    ground.submit(9, failures_max=2)
    card = ground.card("only", capacity=1)

    def failed(number: int) -> str:
        """The batch's state after so many more failed clips: no other card is left to ask."""
        for _ in range(number):
            fail_next(ground, card, INPUT)
        return ground.coordinator.store.batch("b1").state

    assert failed(1) == "open"
    assert failed(1) == "paused"
    ground.decide(batch_pb.ResumeRequest(batch_id="b1"))
    ground.restart()
    card = ground.card("only", capacity=1)
    assert failed(1) == "open", "those two were known"
    assert failed(1) == "paused"
    ground.coordinator.retry("b1", (), (ClipState.FAILED,), ground.request())
    ground.decide(batch_pb.ResumeRequest(batch_id="b1"))
    assert failed(1) == "open", "none of them has failed any more"
    assert failed(1) == "paused"
