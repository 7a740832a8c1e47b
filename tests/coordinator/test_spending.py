"""What batches cost is counted with their chunks, and pauses them where their budgets end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.domain.batch import Batch, BatchState, Budget
from farm.domain.errors import BadDecision
from farm.domain.quote import Quote, Range
from heliostat.v1 import batch_service_pb2 as batch_pb
from tests.coordinator.conftest import CardVoice, Ground
from tests.fixtures.ledger import new_clip

PROMISE = Quote(
    quoted_at=1_700_000_000.0,
    clips=1,
    frames=33,
    chunks=1,
    cards=1,
    cards_measured=1,
    card_hours=Range(1, 0.9, 1.1),
    hours=Range(1, 0.9, 1.1),
    kilowatt_hours=Range(0.1, 0.09, 0.11),
    electricity_money=Range(0.01, 0.01, 0.01),
    money=Range(0.02, 0.01, 0.03),
    money_per_clip=0.02,
    h100_hours=0.0,
    h100_money=0.0,
    h100_equivalents=0.0,
    cloud_money=Range(4, 2, 8),
    currency="USD",
    basis="measured",
)


def begin(card: CardVoice) -> tuple[str, int]:
    """Have a card begin what it is given; its clip and attempt."""
    card.say()
    card.start_all()
    card.say()
    return next(iter(card.held))


def test_each_recorded_chunk_is_counted_once_and_survives_a_restart(ground: Ground) -> None:
    ground.submit(1, frames=99)
    card = ground.card("c1", seconds=36.0)
    clip = begin(card)
    chunk = card.chunk(clip, 0)
    card.say(chunk)
    card.say(chunk)
    spent = ground.coordinator.store.batch("b1").spent
    assert spent.card_seconds == pytest.approx(36.0)
    assert spent.joules == pytest.approx(36.0 * 65)  # it has no cap, and measures nothing
    assert spent.money == pytest.approx(36.0 * 65 / 3.6e6 * 0.17)
    card.coordinator = ground.restart()
    card.say(card.chunk(clip, 1))
    assert ground.coordinator.store.batch("b1").spent.card_seconds == pytest.approx(72.0)


def test_what_a_lost_attempt_did_since_its_last_chunk_is_counted_too(ground: Ground) -> None:
    ground.submit(1, frames=99)
    card = ground.card("c1", seconds=10.0)
    clip = begin(card)
    card.say(card.chunk(clip, 0))
    ground.clock.time += 7.0
    ground.coordinator.lost("c1", card.incarnation, "killed")
    assert ground.coordinator.store.batch("b1").spent.card_seconds == pytest.approx(17.0)


def test_a_batch_is_paused_at_its_cap_and_not_resumed_until_that_is_raised(
    ground: Ground,
) -> None:
    ground.submit(1, frames=330)
    books = ground.coordinator.books
    with books.transaction():
        books.decide(
            replace(ground.coordinator.store.batch("b1"), budget=Budget(hours=0.01)), "amend"
        )
    card = ground.card("c1", seconds=20.0)
    clip = begin(card)
    card.say(card.chunk(clip, 0))
    assert ground.coordinator.store.batch("b1").state is BatchState.OPEN
    card.say(card.chunk(clip, 1))
    batch = ground.coordinator.store.batch("b1")
    assert batch.state is BatchState.PAUSED
    assert "0.01111 of 0.01 card hours" in batch.reason
    assert "farm amend b1 --budget hours=0.0167" in batch.reason
    with pytest.raises(BadDecision, match="budget reached"):
        ground.decide(batch_pb.ResumeRequest(batch_id="b1"))
    with books.transaction():
        books.decide(replace(batch, budget=Budget(hours=1.0)), "amend")
    assert ground.decide(batch_pb.ResumeRequest(batch_id="b1")) == 1
    assert ground.coordinator.store.batch("b1").state is BatchState.OPEN


def test_the_end_of_a_batch_is_told_beside_what_was_promised(ground: Ground) -> None:
    batch = Batch(batch_id="b1", name="b1", project="p", created_at=ground.clock.now())
    ground.coordinator.begin(batch)
    ground.coordinator.stage("b1", [new_clip(1, frames=33)])
    ground.coordinator.publish("b1", ground.request("b1"), PROMISE)
    card = ground.card("c1", seconds=36.0)
    clip = begin(card)
    card.say(card.chunk(clip, 0))
    card.say(card.take(clip, frames=33))
    ended = ground.coordinator.store.batch(batch.batch_id)
    assert ended.promise == PROMISE
    assert ended.ended_at == ground.clock.now()
    assert ground.ledger is not None
    last = ground.ledger.events(after=0, limit=100, batch_id=batch.batch_id)[-1]
    assert (last.kind, last.clip_id) == ("done", "")
    assert "promised 2023-11-14 23:13 UTC (2023-11-14 23:07 UTC to" in last.detail
    assert "0.00065 of 0.1 kWh" in last.detail
