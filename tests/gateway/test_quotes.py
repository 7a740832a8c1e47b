"""Submissions and batches are quoted by what the farm knows of its cards."""

from __future__ import annotations

import pytest

from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import node_service_pb2 as node_pb
from tests.fixtures.gateway import Rig


def say(rig: Rig, *outbox: node_pb.OutboxEntry, **held: bool) -> node_pb.ExchangeResponse:
    """An exchange of the farm's one card."""
    request = node_pb.ExchangeRequest(
        card=node_pb.CardReport(
            card_id="c1", node_id="n", hostname="h", incarnation="i", condition="ready", lanes=1
        ),
        held=[node_pb.HeldAttempt(clip_id=c.replace("_", "-"), attempt=1) for c in held],
        outbox=outbox,
        capacity=1,
    )
    return rig.link.coordinator.exchange([request])[0]


async def test_a_submission_is_quoted_and_what_was_promised_stays_with_the_batch(rig: Rig) -> None:
    say(rig)
    answer = await rig.submit("one", "two")
    assert answer.quote.clips == 2
    assert answer.quote.cards == 1
    assert answer.quote.hours.low < answer.quote.hours.likely < answer.quote.hours.high
    assert answer.quote.basis == "estimated"
    assert answer.batch.promise == answer.quote
    got = await rig.batches.Get(batch_pb.GetRequest(batch_id=answer.batch.batch_id))
    assert got.batch.promise == answer.quote
    listed = await rig.batches.List(batch_pb.ListRequest())
    assert listed.batches[0].promise == answer.quote


async def test_a_dry_run_is_quoted_and_a_refused_one_is_not(rig: Rig) -> None:
    say(rig)
    assert (await rig.submit("one", dry_run=True)).quote.clips == 1
    assert not (await rig.submit("", dry_run=True)).HasField("quote")


async def test_a_dry_run_does_without_a_quote_while_the_coordinator_is_away(rig: Rig) -> None:
    rig.link.is_down = True
    answer = await rig.submit("one", dry_run=True)
    assert (answer.clips, answer.HasField("quote")) == (1, False)


async def test_the_same_request_again_is_told_the_first_promise(rig: Rig) -> None:
    say(rig)
    first = await rig.submit("one", request_id="r")
    again = await rig.submit("one", request_id="r")
    assert again.repeated_request
    assert again.quote == first.quote


async def test_without_a_card_the_end_is_absent(rig: Rig) -> None:
    quote = (await rig.submit("one")).quote
    assert not quote.HasField("hours")
    assert not quote.HasField("finish_at")
    assert "cannot be foreseen" in quote.notes[0]


async def test_an_estimate_is_of_what_is_left(rig: Rig) -> None:
    say(rig)
    batch = (await rig.submit("one", "two")).batch
    wanted = say(rig).wanted[0]
    segment = batch_pb_artifact()
    entry = node_pb.OutboxEntry(
        sequence=1,
        clip_id=wanted.clip_id,
        attempt=wanted.attempt,
        chunk=node_pb.ChunkReport(chunk=0, frames=33, render_seconds=36.0, artifacts=[segment]),
    )
    say(rig, entry)
    answer = await rig.batches.Estimate(batch_pb.EstimateRequest(batch_id=batch.name))
    assert answer.promise == batch.promise
    assert answer.spent.card_seconds == pytest.approx(36.0)
    assert answer.quote.chunks == batch.chunks - 1
    assert answer.quote.basis == "measured"
    assert answer.quote.card_hours.likely == pytest.approx((batch.chunks - 1) / 100)


def batch_pb_artifact() -> object:
    from heliostat.v1 import types_pb2 as types_pb

    return types_pb.Artifact(
        kind=types_pb.ARTIFACT_KIND_SEGMENT, sha256="0" * 64, size_bytes=9, key="key/0"
    )


class TestBudgets:
    async def test_a_budget_below_one_clip_is_refused_with_the_quotes_figures(
        self, rig: Rig
    ) -> None:
        say(rig)
        answer = await rig.submit("one", "two", budget={"hours": 1e-6})
        (problem,) = answer.problems
        assert (problem.row, problem.column) == (0, "--budget")
        assert "below one clip, which takes" in problem.what
        assert rig.staged() == 0

    async def test_what_was_refused_is_taken_with_a_larger_budget_under_the_same_request(
        self, rig: Rig
    ) -> None:
        say(rig)
        about = {"request_id": "mine", "webhook": "https://house.example/hook"}
        assert (await rig.submit("one", budget={"kilowatt_hours": 1e-9}, **about)).problems
        assert not (await rig.batches.List(batch_pb.ListRequest())).batches
        answer = await rig.submit("one", budget={"kilowatt_hours": 10}, **about)
        assert (answer.clips, answer.batch.budget.kilowatt_hours) == (1, 10)

    async def test_a_quote_above_the_budget_is_a_warning(self, rig: Rig) -> None:
        say(rig)
        whole = (await rig.submit("one", "two", dry_run=True)).quote.card_hours.likely
        answer = await rig.submit("one", "two", budget={"hours": 0.7 * whole})
        (warning,) = answer.warnings
        assert "the quote is above the budget" in warning.what
        assert answer.HasField("batch")
