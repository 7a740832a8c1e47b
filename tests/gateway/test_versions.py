"""Versions through a gateway: only what changed is rendered again, and what was there stays."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import pytest

from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import CardVoice
from tests.fixtures.gateway import Rig, reason_of, submission
from tests.fixtures.simulated_card import SimulatedCard

DONE = types_pb.CLIP_STATE_DONE
QUEUED = types_pb.CLIP_STATE_QUEUED
Rows = list[dict[str, str]]


def rows(count: int, **changed: str) -> Rows:
    """Rows `clip1` … with a prompt each; `changed` gives some another one."""
    return [
        {"id": f"clip{n}", "prompt": changed.get(f"clip{n}", f"prompt {n}"), "frames": "66"}
        for n in range(1, count + 1)
    ]


async def submit(rig: Rig, given: Rows, **header: Any) -> batch_pb.SubmitResponse:
    answer: batch_pb.SubmitResponse = await rig.batches.Submit(submission(given, **header))
    return answer


async def resubmit(rig: Rig, given: Rows, **header: Any) -> batch_pb.SubmitResponse:
    return await submit(rig, given, **{"name": "any", "resubmit_of": "shots", **header})


async def listed(rig: Rig, batch: str = "shots") -> list[types_pb.Clip]:
    request = batch_pb.ListClipsRequest(batch_id=batch, page_size=1000)
    return list((await rig.batches.ListClips(request)).clips)


def versions(clips: list[types_pb.Clip]) -> list[tuple[str, int]]:
    return [(clip.name, clip.version) for clip in clips]


def told(answer: batch_pb.SubmitResponse) -> list[str]:
    return [f"{problem.column}: {problem.what}" for problem in answer.problems]


def render_all(card: CardVoice) -> list[str]:
    """Have a card report all that there is as rendered; the ids of these clips."""
    clips: list[str] = []
    card.say()
    while card.held:
        held = list(card.held)
        clips += (clip_id for clip_id, _ in held)
        chunks = (card.chunk(key, chunk) for key in held for chunk in range(2))
        card.say(*chunks, *(card.take(key) for key in held))
    return clips


class TestResubmit:
    async def test_only_rows_that_changed_become_next_versions(self, rig: Rig) -> None:
        first = await submit(rig, rows(250))
        given = [*rows(250, clip3="x", clip100="y", clip250="z"), *rows(251)[250:]]
        answer = await resubmit(rig, given[1:])
        counts = (answer.clips, answer.changed, answer.unchanged, answer.missing)
        assert counts == (4, 3, 246, 1)
        assert answer.batch.batch_id == first.batch.batch_id
        assert answer.batch.clips.queued == 254
        clips = await listed(rig)
        new = [("clip3", 2), ("clip100", 2), ("clip250", 2), ("clip251", 1)]
        assert versions(clips[250:]) == new
        assert [clip.spec.prompt for clip in clips[250:]] == ["x", "y", "z", "prompt 251"]
        assert clips[250].origin == types_pb.Origin(kind="retake", clip_id=clips[2].clip_id)
        assert clips[250].spec.seed == clips[2].spec.seed
        assert clips[250].file_name == "clip3_v002"
        assert versions(clips[:250]) == [(f"clip{n}", 1) for n in range(1, 251)]
        assert len((await rig.batches.List(batch_pb.ListRequest())).batches) == 1

    async def test_of_500_rows_the_3_that_changed_are_rendered_and_all_takes_stay(
        self, rig: Rig
    ) -> None:
        await submit(rig, rows(500))
        card = CardVoice(rig.link.coordinator, "card", capacity=100)
        assert len(render_all(card)) == 500
        before = await listed(rig)
        changed = {"clip7": "x", "clip250": "y", "clip499": "z"}
        answer = await resubmit(rig, rows(500, **changed))
        assert (answer.clips, answer.changed, answer.unchanged) == (3, 3, 497)
        assert sorted(render_all(card)) == [clip.clip_id for clip in (await listed(rig))[500:]]
        after = await listed(rig)
        assert versions(after[500:]) == [(name, 2) for name in changed]
        assert [clip.spec.prompt for clip in after[500:]] == list(changed.values())
        assert {clip.state for clip in after} == {DONE}
        for clip in before:
            clip.latest = clip.name not in changed
        assert after[:500] == before

    async def test_cards_get_the_new_versions_of_a_batch_that_had_ended(self, rig: Rig) -> None:
        await submit(rig, rows(1))
        batch = await rig.batches.Cancel(
            batch_pb.CancelRequest(request_id="c", batch_id="shots", clips=["clip1"])
        )
        assert batch.batch.clips.cancelled == 1
        await resubmit(rig, rows(1, clip1="x"))
        card = SimulatedCard(rig)
        await card.exchange()
        assert {clip_id for clip_id, _ in card.held} == {c.clip_id for c in (await listed(rig))[1:]}

    async def test_nothing_changed_is_nothing_new(self, rig: Rig) -> None:
        await submit(rig, rows(3))
        answer = await resubmit(rig, rows(3))
        assert (answer.clips, answer.unchanged, answer.HasField("batch")) == (0, 3, True)
        assert rig.staged() == 3

    async def test_a_dry_run_only_counts(self, rig: Rig) -> None:
        await submit(rig, rows(3))
        answer = await resubmit(rig, rows(4, clip2="x"), dry_run=True)
        assert (answer.clips, answer.changed, answer.unchanged) == (2, 1, 2)
        assert rig.staged() == 3

    async def test_the_same_request_twice_is_one(self, rig: Rig) -> None:
        await submit(rig, rows(3))
        await resubmit(rig, rows(3, clip2="x"), request_id="again")
        second = await resubmit(rig, rows(3, clip2="x"), request_id="again")
        assert second.repeated_request
        assert rig.staged() == 4

    async def test_of_two_at_once_one_wins_and_the_other_is_told_to_try_again(
        self, rig: Rig
    ) -> None:
        await submit(rig, rows(5))
        calls = [resubmit(rig, rows(5, clip2=f"prompt of {n}")) for n in range(4)]
        outcomes = await asyncio.gather(*calls, return_exceptions=True)
        won = [each for each in outcomes if isinstance(each, batch_pb.SubmitResponse)]
        lost = [each for each in outcomes if isinstance(each, grpc.aio.AioRpcError)]
        assert len(won) + len(lost) == 4
        assert len(won) >= 1
        assert {(each.code(), reason_of(each)) for each in lost} <= {
            (grpc.StatusCode.ABORTED, "STALE_WRITE")
        }
        assert versions((await listed(rig))[5:]) == [("clip2", n + 2) for n in range(len(won))]
        assert rig.staged() == 5 + len(won)

    async def test_a_cancelled_batch_takes_nothing(self, rig: Rig) -> None:
        await submit(rig, rows(1))
        await rig.batches.Cancel(batch_pb.CancelRequest(request_id="c", batch_id="shots"))
        answer = await resubmit(rig, rows(1, clip1="x"))
        assert "is cancelled" in told(answer)[0]
        assert rig.staged() == 1

    async def test_what_the_batch_has_already_is_not_changed_by_it(self, rig: Rig) -> None:
        await submit(rig, rows(1), priority=3)
        answer = await resubmit(rig, rows(1, clip1="x"), priority=4, first_look=True)
        assert [what.split(":")[0] for what in told(answer)] == ["--priority", "--first-look"]
        assert "farm amend" in answer.problems[0].remedy
        assert (await resubmit(rig, rows(1, clip1="x"), priority=3)).changed == 1

    async def test_an_unknown_batch_and_a_name_too_like_another_are_problems(
        self, rig: Rig
    ) -> None:
        assert "no batch" in told(await resubmit(rig, rows(1)))[0]
        await submit(rig, rows(1))
        answer = await resubmit(rig, [{"id": "CLIP1", "prompt": "x"}])
        assert "too much like" in told(answer)[0]

    async def test_a_changed_clip_waits_for_the_latest_of_what_it_names(self, rig: Rig) -> None:
        given = [{**row, "after": ""} for row in rows(3)]
        given[2]["after"] = "clip1, clip2"
        await submit(rig, given)
        given[0]["prompt"] = given[2]["prompt"] = "x"
        await resubmit(rig, given)
        clips = await listed(rig)
        assert versions(clips[3:]) == [("clip1", 2), ("clip3", 2)]
        assert clips[4].state == types_pb.CLIP_STATE_WAITING
        batch = clips[0].batch_id
        # clip3 v002 (5) waits for clip1 v002 (4), and for clip2 (2), which is as it was.
        assert rig.store.unmet(batch) == {
            3: {1: "queued", 2: "queued"}, 5: {2: "queued", 4: "queued"},
        }  # fmt: skip


class TestRetake:
    async def test_a_retake_is_the_next_version_of_the_latest(self, rig: Rig) -> None:
        await submit(rig, rows(2))
        request = batch_pb.RetakeRequest(
            request_id="r", batch_id="shots", clips=["clip2", "clip1"], new_seed=True, note="blur"
        )
        answer = await rig.batches.Retake(request)
        assert versions(list(answer.clips)) == [("clip2", 2), ("clip1", 2)]
        first, *_ = await listed(rig)
        assert answer.clips[1].spec.seed != first.spec.seed
        assert answer.batch.clips.queued == 4
        again = await rig.batches.Retake(request)
        assert again.clips == answer.clips
        third = batch_pb.RetakeRequest(request_id="s", batch_id="shots", clips=["clip1"], seed=7)
        (clip,) = (await rig.batches.Retake(third)).clips
        assert (clip.version, clip.spec.seed) == (3, 7)
        assert clip.origin.clip_id == answer.clips[1].clip_id

    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            ({"clips": ["nobody"]}, "no clip nobody"),
            ({"clips": []}, "names no clip"),
            ({"seed": 1, "new_seed": True}, "choose one"),
            ({"prompt": " "}, "prompt"),
            ({"from_chunk": 1}, "nothing differs"),
            ({"from_chunk": 1, "new_seed": True}, "0 whole chunks"),
            ({"frames": 99}, "only what is done"),
            ({"frames": 66}, "give more"),
            ({"frames": 4_000_000_000}, "choose 1 to"),
        ],
    )
    async def test_what_cannot_be_is_said_and_changes_nothing(
        self, rig: Rig, asked: dict[str, Any], words: str
    ) -> None:
        await submit(rig, rows(1))
        request = batch_pb.RetakeRequest(
            **{"request_id": "r", "batch_id": "shots", "clips": ["clip1"], **asked}
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rig.batches.Retake(request)
        assert words in (caught.value.details() or "")
        assert rig.staged() == 1


def watching(batch_id: str) -> batch_pb.WatchRequest:
    return batch_pb.WatchRequest(batch_id=batch_id, until_ended=True)


async def rendered(rig: Rig, given: Rows, **header: Any) -> SimulatedCard:
    """A batch rendered by a card to its end."""
    await submit(rig, given, **header)
    card = SimulatedCard(rig)
    await card.exchange()
    while card.held:
        for key in list(card.held):
            await card.render(key, 2)
    return card


class TestTakesThatAreThere:
    async def test_extending_takes_whole_chunks_over(self, stored_rig: Rig) -> None:
        rig = stored_rig
        await rendered(rig, rows(1))
        request = batch_pb.RetakeRequest(
            request_id="r", batch_id="shots", clips=["clip1"], frames=120, prompt="rain"
        )
        (clip,) = (await rig.batches.Retake(request)).clips
        assert (clip.chunks_done, clip.chunks, clip.state) == (2, 4, QUEUED)
        assert clip.origin.kind == "extend"
        assert [(mark.chunk, mark.prompt) for mark in clip.spec.schedule] == [(2, "rain")]
        base, new = (rig.ledger.chunks(c.clip_id) for c in await listed(rig))
        assert [chunk.objects for chunk in new] == [chunk.objects for chunk in base]

    async def test_a_branch_shares_what_comes_before_it(self, stored_rig: Rig) -> None:
        rig = stored_rig
        await rendered(rig, rows(1))
        request = batch_pb.RetakeRequest(
            request_id="r", batch_id="shots", clips=["clip1"], from_chunk=1, seed=9
        )
        (clip,) = (await rig.batches.Retake(request)).clips
        assert (clip.chunks_done, clip.chunks) == (1, 2)
        assert clip.spec.fork == types_pb.Fork(chunk=1, seed=9)
        assert clip.spec.seed != 9

    async def test_what_was_rendered_already_is_not_rendered_again(self, stored_rig: Rig) -> None:
        rig = stored_rig
        await rendered(rig, rows(2))
        answer = await submit(rig, rows(3))
        assert (answer.clips, answer.reused) == (3, 2)
        assert (answer.batch.clips.done, answer.batch.clips.queued) == (2, 1)
        before = (await rig.batches.List(batch_pb.ListRequest())).batches[1]
        first = await listed(rig, before.batch_id)
        clips = await listed(rig, answer.batch.batch_id)
        assert [clip.take.video for clip in clips[:2]] == [clip.take.video for clip in first]
        assert clips[0].origin == types_pb.Origin(kind="reuse", clip_id=first[0].clip_id, chunks=2)
        event = rig.ledger.clip_events(clips[0].clip_id, limit=5)[0]
        assert (event.kind, event.to_state) == ("submit", "done")
        assert first[0].clip_id in event.detail

    async def test_a_batch_of_takes_that_are_there_ends_like_any_other(
        self, stored_rig: Rig
    ) -> None:
        rig = stored_rig
        await rendered(rig, rows(2))
        batch = (await submit(rig, rows(2))).batch
        assert batch.HasField("ended_at")
        events = rig.ledger.events(after=0, limit=1000, batch_id=batch.batch_id)
        assert [event.kind for event in events] == ["submit", "submit", "submit", "done"]
        told = {notice.batch_id: notice.kind for notice in await rig.link.notices([])}
        assert told[batch.batch_id] == "done"
        async with asyncio.timeout(20):
            watched = [event async for event in rig.batches.Watch(watching(batch.batch_id))]
        assert watched[-1].kind == "done"

    async def test_a_row_changed_back_ends_its_batch_once_more(self, stored_rig: Rig) -> None:
        rig = stored_rig
        await rendered(rig, rows(1))
        card = CardVoice(rig.link.coordinator, "node-0", report={"stack_id": "stack"})
        await resubmit(rig, rows(1, clip1="x"))
        render_all(card)
        answer = await resubmit(rig, rows(1))
        assert (answer.reused, answer.batch.HasField("ended_at")) == (1, True)
        events = rig.ledger.events(after=0, limit=1000, batch_id=answer.batch.batch_id)
        assert [event.kind for event in events if not event.clip_id] == [
            "submit", "done", "resubmit", "done", "resubmit", "done",
        ]  # fmt: skip
        assert versions(await listed(rig)) == [("clip1", 1), ("clip1", 2), ("clip1", 3)]

    async def test_a_batch_that_still_renders_something_has_not_ended(
        self, stored_rig: Rig
    ) -> None:
        rig = stored_rig
        await rendered(rig, rows(1))
        answer = await submit(rig, rows(2))
        assert (answer.reused, answer.batch.HasField("ended_at")) == (1, False)

    @pytest.mark.parametrize("fresh", [True, False])
    async def test_fresh_renders_it_all_the_same(self, stored_rig: Rig, fresh: bool) -> None:
        await rendered(stored_rig, rows(1))
        answer = await submit(stored_rig, rows(1), fresh=fresh)
        assert answer.reused == (not fresh)

    async def test_a_take_of_another_project_or_of_no_card_here_is_not_reused(
        self, stored_rig: Rig
    ) -> None:
        rig = stored_rig
        card = await rendered(rig, rows(1))
        await rig.set_project("other")
        assert (await submit(rig, rows(1), project="other")).reused == 0
        card.stack_id = "another"
        await card.exchange()
        rig.gateway._desk.fleet.forget()
        assert (await submit(rig, rows(1))).reused == 0
