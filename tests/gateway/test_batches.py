"""What clients are promised: whole or not at all, once, in order, and with reasons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import grpc.aio
import pytest

from farm.gateway.settings import Limits
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from heliostat.v1.batch_service_pb2_grpc import BatchServiceStub
from tests.fixtures.gateway import TOKEN, Rig, reason_of, submission
from tests.fixtures.simulated_card import SimulatedCard

REFUSED = grpc.StatusCode.INVALID_ARGUMENT


async def fails(call: object) -> tuple[grpc.StatusCode, str]:
    """Status and reason of a call that must fail."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value.code(), reason_of(caught.value)


class TestAuthentication:
    @pytest.mark.parametrize("token", [None, "", "wrong", "a-token-for-tests-onlyy"])
    async def test_every_call_needs_the_token(self, rig: Rig, token: str | None) -> None:
        async with rig.channel_with(token) as channel:
            stub = BatchServiceStub(channel)
            refused = (grpc.StatusCode.UNAUTHENTICATED, "UNAUTHENTICATED")
            assert await fails(stub.List(batch_pb.ListRequest())) == refused
            assert await fails(stub.Submit(submission([{"prompt": "a"}]))) == refused
            watching = stub.Watch(batch_pb.WatchRequest(batch_id="b"))
            assert await fails(anext(aiter(watching))) == refused
        assert rig.link.calls == []

    async def test_health_needs_none(self, rig: Rig) -> None:
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        async with rig.channel_with(None) as channel:
            stub = health_pb2_grpc.HealthStub(channel)
            for service in ("", "heliostat.v1.BatchService", "heliostat.v1.FleetService"):
                answer = await stub.Check(health_pb2.HealthCheckRequest(service=service))
                assert answer.status == health_pb2.HealthCheckResponse.SERVING


class TestSubmit:
    async def test_files_are_taken_from_where_the_farm_was_told(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, inputs=("/data/in",), bucket="show", loras=False)
        await rig.restart_gateway()
        rows = [
            {"id": "1", "prompt": "p", "image": "/data/in/fox.png", "lora": ""},
            {"id": "2", "prompt": "p", "image": "/data/in/../fox.png", "lora": ""},
            {"id": "3", "prompt": "p", "image": "s3://show/fox.png", "lora": "film"},
        ]
        answer = await rig.batches.Submit(submission(rows))
        assert [(problem.row, problem.column) for problem in answer.problems] == [
            (3, "image"),
            (4, "lora"),
        ]
        assert answer.problems[0].remedy.endswith("s3://show/KEY")

    async def test_an_accepted_batch_is_there_whole(self, rig: Rig) -> None:
        rows = [{"id": f"s{n}", "prompt": f"shot {n}", "frames": "66"} for n in range(1, 1201)]
        await rig.set_project("film")
        answer = await rig.batches.Submit(submission(rows, project="film"))
        assert (answer.clips, answer.frames, answer.repeated_request) == (1200, 1200 * 66, False)
        assert not answer.problems
        batch = (await rig.batches.Get(batch_pb.GetRequest(batch_id="shots"))).batch
        assert (batch.batch_id, batch.project) == (answer.batch.batch_id, "film")
        assert (batch.clips.queued, batch.chunks, batch.frames) == (1200, 2400, 1200 * 66)

    async def test_a_refused_batch_lists_every_problem_and_leaves_nothing(self, rig: Rig) -> None:
        rows = [{"id": f"s{n}", "prompt": "", "frames": "0"} for n in range(1000)]
        answer = await rig.batches.Submit(submission(rows))
        assert not answer.HasField("batch")
        assert answer.clips == 0
        assert [(p.row, p.column) for p in answer.problems] == [
            (row, column) for row in range(2, 1002) for column in ("prompt", "frames")
        ]
        assert all(p.what and p.remedy for p in answer.problems)
        assert rig.staged() == 0

    async def test_a_problem_in_the_last_row_takes_all_back(self, rig: Rig) -> None:
        rows = [{"id": f"s{n}", "prompt": "fine"} for n in range(1300)]
        rows[-1]["prompt"] = " "
        answer = await rig.batches.Submit(submission(rows))
        assert [p.row for p in answer.problems] == [1301]
        assert "stage" in rig.link.calls
        assert rig.staged() == 0

    async def test_a_list_too_long_for_one_answer_says_so(self, rig: Rig) -> None:
        rows = [{"id": "same", "prompt": "p" * 30, "size": "x" * 500} for _ in range(12_000)]
        answer = await rig.batches.Submit(submission(rows))
        assert answer.ByteSize() < 4 << 20
        assert "not listed" in answer.problems[-1].what

    async def test_a_dry_run_checks_all_and_accepts_nothing(self, rig: Rig) -> None:
        answer = await rig.submit("one", "two", dry_run=True)
        assert (answer.clips, answer.HasField("batch"), list(answer.problems)) == (2, False, [])
        assert (await rig.submit("", dry_run=True)).problems
        assert rig.staged() == 0
        assert rig.link.calls == ["picture"]

    async def test_a_huge_row_is_refused_by_its_size(self, rig: Rig) -> None:
        own = {f"note{n}": "x" * 19_000 for n in range(5)}
        answer = await rig.batches.Submit(submission([{"id": "a", "prompt": "p", **own}]))
        assert [p.row for p in answer.problems] == [2]
        assert "95" in answer.problems[0].what
        assert "65536" in answer.problems[0].remedy

    async def test_too_many_rows_are_refused_by_the_limit(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, limits=Limits(rows_max=10))
        await rig.restart_gateway()
        answer = await rig.submit(*["prompt"] * 11)
        assert "10 clips" in answer.problems[0].what

    @pytest.mark.parametrize(
        "header",
        [{"name": ""}, {"name": "x" * 201}, {"name": "a\nb"}, {"project": "x" * 201}],
    )
    async def test_a_bad_header_is_an_error(self, rig: Rig, header: dict[str, str]) -> None:
        assert await fails(rig.submit("a", **header)) == (REFUSED, "BAD_REQUEST")

    async def test_a_submission_needs_its_request_id_and_header(self, rig: Rig) -> None:
        parts = submission([{"prompt": "a"}])
        assert await fails(rig.batches.Submit(parts[1:])) == (REFUSED, "BAD_REQUEST")
        assert await fails(rig.batches.Submit([])) == (REFUSED, "BAD_REQUEST")
        assert await fails(rig.batches.Submit(parts + parts)) == (REFUSED, "BAD_REQUEST")
        parts[0].header.request_id = ""
        assert await fails(rig.batches.Submit(parts)) == (REFUSED, "BAD_REQUEST")
        assert rig.staged() == 0

    async def test_a_client_that_goes_away_leaves_nothing(self, rig: Rig) -> None:
        parts = submission([{"id": f"s{n}", "prompt": "p"} for n in range(1500)], block=500)
        two_blocks_sent = asyncio.Event()

        async def broken() -> AsyncIterator[batch_pb.SubmitRequest]:
            for part in parts[:3]:
                yield part
            two_blocks_sent.set()
            await asyncio.Event().wait()

        call = rig.batches.Submit(broken())
        await two_blocks_sent.wait()
        while rig.staged() < 500:
            await asyncio.sleep(0.01)
        call.cancel()
        while "discard" not in rig.link.calls or rig.staged():
            await asyncio.sleep(0.01)
        assert (await rig.batches.List(batch_pb.ListRequest())).batches == []

    async def test_a_silent_client_is_sent_away(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, limits=Limits(submit_seconds_idle_max=0.1))
        await rig.restart_gateway()

        async def silent() -> AsyncIterator[batch_pb.SubmitRequest]:
            yield submission([{"prompt": "a"}])[0]
            await asyncio.Event().wait()

        ended = (grpc.StatusCode.DEADLINE_EXCEEDED, "SUBMISSION_STALLED")
        assert await fails(rig.batches.Submit(silent())) == ended

    async def test_a_restart_of_the_coordinator_is_said_and_leaves_nothing(self, rig: Rig) -> None:
        parts = submission([{"id": f"s{n}", "prompt": "p"} for n in range(1500)], block=500)

        async def slow() -> AsyncIterator[batch_pb.SubmitRequest]:
            for part in parts[:2]:
                yield part
            while rig.staged() < 500:
                await asyncio.sleep(0.01)
            rig.link.coordinator = type(rig.link.coordinator)(rig.store, rig.clock)
            yield parts[2]

        ended = (grpc.StatusCode.UNAVAILABLE, "SUBMISSION_INTERRUPTED")
        assert await fails(rig.batches.Submit(slow())) == ended
        assert rig.staged() == 0


class TestRequestIds:
    async def test_a_thousand_duplicates_are_one_batch(self, rig: Rig) -> None:
        answers = await asyncio.gather(
            *(rig.submit("one", "two", request_id="the same") for _ in range(1000))
        )
        assert {answer.batch.batch_id for answer in answers} == {answers[0].batch.batch_id}
        assert sum(not answer.repeated_request for answer in answers) == 1
        assert {(answer.clips, answer.frames) for answer in answers} == {(2, 240)}
        assert len((await rig.batches.List(batch_pb.ListRequest())).batches) == 1
        assert rig.staged() == 2

    async def test_large_duplicates_at_once_are_one_batch(self, rig: Rig) -> None:
        rows = [{"id": f"s{n}", "prompt": "p"} for n in range(1200)]
        calls = (rig.batches.Submit(submission(rows, request_id="r")) for _ in range(4))
        answers = await asyncio.gather(*calls)
        assert len({answer.batch.batch_id for answer in answers}) == 1
        assert rig.staged() == 1200

    async def test_blocks_of_another_size_are_the_same_payload(self, rig: Rig) -> None:
        rows = [{"id": f"s{n}", "prompt": "p", "note": str(n)} for n in range(700)]
        first = await rig.batches.Submit(submission(rows, request_id="r", block=100))
        again = await rig.batches.Submit(submission(rows, request_id="r", block=333))
        assert again.repeated_request
        assert again.batch.batch_id == first.batch.batch_id

    @pytest.mark.parametrize(
        "change", [{"name": "other"}, {"priority": 1}, {"set_fields": {"frames": "33"}}]
    )
    async def test_another_header_is_a_conflict(self, rig: Rig, change: dict[str, object]) -> None:
        await rig.submit("one", request_id="r")
        ended = (REFUSED, "REQUEST_CONFLICT")
        assert await fails(rig.submit("one", request_id="r", **change)) == ended

    async def test_other_rows_are_a_conflict_even_when_they_are_bad(self, rig: Rig) -> None:
        await rig.submit("one", request_id="r")
        for other in ("two", ""):
            ended = (REFUSED, "REQUEST_CONFLICT")
            assert await fails(rig.submit(other, request_id="r")) == ended
        assert rig.staged() == 1

    async def test_a_refused_submission_may_be_mended_under_its_id(self, rig: Rig) -> None:
        assert (await rig.submit("", request_id="r")).problems
        assert (await rig.submit("mended", request_id="r")).clips == 1

    async def test_cancel_and_retry_answer_once(self, rig: Rig) -> None:
        await rig.submit("one", "two", "three")
        ask = batch_pb.CancelRequest(request_id="c", batch_id="shots", clips=["clip2"])
        assert (await rig.batches.Cancel(ask)).cancelled == 1
        assert (await rig.batches.Cancel(ask)).cancelled == 1
        ask.clips.append("clip3")
        assert await fails(rig.batches.Cancel(ask)) == (REFUSED, "REQUEST_CONFLICT")
        retry = batch_pb.RetryRequest(
            request_id="t", batch_id="shots", states=[types_pb.CLIP_STATE_CANCELLED]
        )
        answer = await rig.batches.Retry(retry)
        assert (answer.requeued, answer.batch.clips.queued) == (1, 3)
        ended = (REFUSED, "REQUEST_CONFLICT")
        reused = batch_pb.CancelRequest(request_id="t", batch_id="shots")
        assert await fails(rig.batches.Cancel(reused)) == ended


class TestReading:
    async def test_errors_have_stable_reasons(self, rig: Rig) -> None:
        get = batch_pb.GetRequest
        missing = (grpc.StatusCode.NOT_FOUND, "NOT_FOUND")
        assert await fails(rig.batches.Get(get(batch_id="nothing"))) == missing
        assert await fails(rig.batches.Get(get())) == (REFUSED, "BAD_REQUEST")
        await rig.submit("one")
        await rig.submit("one")
        assert await fails(rig.batches.Get(get(batch_id="shots"))) == (REFUSED, "AMBIGUOUS_NAME")
        token = batch_pb.ListClipsRequest(batch_id="shots", page_token="x")
        assert await fails(rig.batches.ListClips(token)) == (REFUSED, "BAD_REQUEST")
        retry = batch_pb.RetryRequest(
            request_id="r", batch_id="shots", states=[types_pb.CLIP_STATE_DONE]
        )
        assert (await fails(rig.batches.Retry(retry)))[0] == REFUSED
        rig.link.is_down = True
        down = (grpc.StatusCode.UNAVAILABLE, "COORDINATOR_UNAVAILABLE")
        assert await fails(rig.submit("one")) == down
        assert await fails(rig.fleet.GetFleet(fleet_pb.GetFleetRequest())) == down

    async def test_batches_page_newest_first(self, rig: Rig) -> None:
        for number in range(5):
            await rig.submit("p", name=f"n{number}")
        names, token = [], ""
        while True:
            page = await rig.batches.List(batch_pb.ListRequest(page_size=2, page_token=token))
            assert len(page.batches) <= 2
            names += [batch.name for batch in page.batches]
            if not (token := page.next_page_token):
                break
        assert names == ["n4", "n3", "n2", "n1", "n0"]

    async def test_clips_page_in_the_order_of_the_file(self, rig: Rig) -> None:
        rows = [{"id": f"s{n}", "prompt": f"p{n}", "shot": f"sh{n}"} for n in range(25)]
        await rig.batches.Submit(submission(rows))
        clips, token = [], ""
        while True:
            ask = batch_pb.ListClipsRequest(batch_id="shots", page_size=10, page_token=token)
            page = await rig.batches.ListClips(ask)
            clips += page.clips
            if not (token := page.next_page_token):
                break
        assert [clip.name for clip in clips] == [f"s{n}" for n in range(25)]
        assert [clip.row for clip in clips] == list(range(2, 27))
        assert [clip.columns["shot"] for clip in clips] == [f"sh{n}" for n in range(25)]
        assert clips[3].spec.prompt == "p3"
        assert clips[3].version == 1

    async def test_pages_have_a_limit(self, rig: Rig) -> None:
        rows = [{"id": f"s{n}", "prompt": "p"} for n in range(1100)]
        await rig.batches.Submit(submission(rows))
        ask = batch_pb.ListClipsRequest(batch_id="shots", page_size=1_000_000)
        assert len((await rig.batches.ListClips(ask)).clips) == 1000


class TestWatch:
    async def test_all_events_in_order_and_the_end(self, rig: Rig) -> None:
        rows = [{"id": f"s{n}", "prompt": "p"} for n in range(1200)]
        await rig.batches.Submit(submission(rows))
        await rig.batches.Cancel(batch_pb.CancelRequest(request_id="c", batch_id="shots"))
        ask = batch_pb.WatchRequest(batch_id="shots", until_ended=True)
        events = [event async for event in rig.batches.Watch(ask)]
        sequences = [event.sequence for event in events]
        assert sequences == sorted(set(sequences))
        for kind in ("submit", "cancel"):
            names = [event.clip_name for event in events if event.kind == kind and event.clip_id]
            assert names == [f"s{n}" for n in range(1200)]
        assert events[-1].batch.clips.cancelled == 1200
        assert events[-2].to_state == types_pb.CLIP_STATE_CANCELLED
        assert (events[-1].kind, events[-1].clip_id) == ("over", "")

    async def test_no_gap_and_no_repeat_over_a_restart_of_the_gateway(self, rig: Rig) -> None:
        await rig.submit(*["p"] * 30)
        card = SimulatedCard(rig, capacity=1)
        seen: list[batch_pb.WatchResponse] = []
        broken: list[grpc.StatusCode] = []

        async def follow() -> bool:
            """Watch on from the last event seen; True at the end."""
            after = seen[-1].sequence if seen else 0
            ask = batch_pb.WatchRequest(batch_id="shots", after_sequence=after, until_ended=True)
            try:
                async with rig.channel_with(TOKEN) as channel:
                    async for event in BatchServiceStub(channel).Watch(ask):
                        seen.append(event)
                return True
            except grpc.aio.AioRpcError as error:
                broken.append(error.code())
                return False

        async def follow_to_the_end() -> None:
            while not await follow():
                await asyncio.sleep(0.01)

        following = asyncio.create_task(follow_to_the_end())
        for restarts in range(3):
            while len(broken) < restarts or len(seen) < 31 + restarts:
                await asyncio.sleep(0.01)
            await rig.restart_gateway()
            await card.exchange()
            card.capacity += 1
        await rig.batches.Cancel(batch_pb.CancelRequest(request_id="c", batch_id="shots"))
        await following
        assert set(broken) == {grpc.StatusCode.UNAVAILABLE}
        batch_id = rig.ledger.find_batch("shots").batch_id
        stored = rig.ledger.events(after=0, limit=1000, batch_id=batch_id)
        assert [event.sequence for event in seen] == [event.sequence for event in stored]

    async def test_watchers_have_a_limit(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, limits=Limits(watchers_max=1))
        await rig.restart_gateway()
        await rig.submit("p")
        ask = batch_pb.WatchRequest(batch_id="shots")
        first = rig.batches.Watch(ask)
        await anext(aiter(first))
        busy = (grpc.StatusCode.RESOURCE_EXHAUSTED, "GATEWAY_BUSY")
        assert await fails(anext(aiter(rig.batches.Watch(ask)))) == busy
        first.cancel()
