"""First looks and decisions through a gateway: what is seen was rendered; once, and checked."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import grpc
import pytest

from farm.client.errors import FetchFailed
from farm.client.looks import open_previews
from farm.gateway.settings import Limits
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.fixtures.gateway import Rig, reason_of, submission
from tests.fixtures.simulated_card import SimulatedCard, chunk_files

HELD = types_pb.CLIP_STATE_HELD


async def held(rig: Rig) -> tuple[str, int]:
    """A clip at its first look, its first chunk in the object store."""
    rows = [{"id": "fox: 1", "prompt": "a fox", "frames": "66"}]
    await rig.batches.Submit(submission(rows, first_look=True))
    card = SimulatedCard(rig)
    await card.exchange()
    (key,) = card.held
    await card.render_chunk(key, 0)
    return key


async def listed(rig: Rig, *, with_urls: bool = True) -> list[types_pb.Clip]:
    request = batch_pb.ListClipsRequest(batch_id="shots", states=[HELD], with_urls=with_urls)
    return list((await rig.batches.ListClips(request)).clips)


class TestFirstLook:
    async def test_a_held_clip_is_looked_at_by_its_first_chunk(
        self, stored_rig: Rig, tmp_path: Path
    ) -> None:
        key = await held(stored_rig)
        (clip,) = await listed(stored_rig)
        files = chunk_files(key, 0)
        (opened,) = await asyncio.to_thread(lambda: list(open_previews([clip], tmp_path / "looks")))
        assert opened.path.read_bytes() == files["init"] + files["segment"]
        assert opened.path.name.startswith("fox_ 1_look_")
        (plain,) = await listed(stored_rig, with_urls=False)
        assert not plain.HasField("preview")

    async def test_bytes_that_are_not_those_recorded_are_not_kept(
        self, stored_rig: Rig, tmp_path: Path
    ) -> None:
        await held(stored_rig)
        (clip,) = await listed(stored_rig)
        clip.preview.segment_url = clip.preview.init_url
        with pytest.raises(FetchFailed, match="SHA-256"):
            await asyncio.to_thread(lambda: list(open_previews([clip], tmp_path)))
        assert list(tmp_path.glob("*.mp4")) == []

    async def test_scores_by_name_are_seen_and_pick_who_goes_on(self, stored_rig: Rig) -> None:
        await held(stored_rig)
        score = batch_pb.ScoreRequest(
            request_id="s", batch_id="shots", scores={"fox: 1": 4}, notes={"fox: 1": "sharp"}
        )
        assert (await stored_rig.batches.Score(score)).clips == 1
        (clip,) = await listed(stored_rig)
        assert (clip.look.score, clip.look.note) == (4, "sharp")
        for least, expected in ((4.5, 0), (4, 1)):
            look = batch_pb.LookRequest(
                request_id=f"l{least}", batch_id="shots", approve=True, score_min=least
            )
            assert (await stored_rig.batches.Look(look)).clips == expected
        assert await listed(stored_rig) == []


class TestDecisions:
    async def test_the_same_request_decides_once_and_another_content_is_refused(
        self, rig: Rig
    ) -> None:
        await rig.submit("a")
        pause = batch_pb.PauseRequest(request_id="r", batch_id="shots", reason="lunch")
        await rig.batches.Pause(pause)
        await rig.batches.Resume(batch_pb.ResumeRequest(request_id="r2", batch_id="shots"))
        again = await rig.batches.Pause(pause)
        assert again.batch.state == types_pb.BATCH_STATE_OPEN
        pause.reason = "dinner"
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rig.batches.Pause(pause)
        assert reason_of(caught.value) == "REQUEST_CONFLICT"

    async def test_a_deadline_that_has_passed_since_does_not_refuse_what_was_accepted(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rows = [{"id": "a", "prompt": "p"}]
        deadline = {"seconds": 4_000_000_000}
        first = await rig.batches.Submit(submission(rows, request_id="r", deadline=deadline))
        monkeypatch.setattr("farm.gateway.header.time.time", lambda: 4_000_000_001.0)
        again = await rig.batches.Submit(submission(rows, request_id="r", deadline=deadline))
        assert (again.repeated_request, again.batch.batch_id) == (True, first.batch.batch_id)
        late = await rig.batches.Submit(submission(rows, request_id="r2", deadline=deadline))
        assert [problem.column for problem in late.problems] == ["--deadline"]

    async def test_values_are_refused_before_the_coordinator_is_asked(self, rig: Rig) -> None:
        await rig.submit("a")
        rig.link.calls.clear()
        asked = fleet_pb.SetProjectRequest(request_id="r", name="show", cap=0)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await rig.fleet.SetProject(asked)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert reason_of(caught.value) == "BAD_DECISION"
        assert "decide" not in rig.link.calls

    async def test_limits_and_projects_count_what_cards_hold(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, limits=Limits(fleet_seconds=0))
        await rig.restart_gateway()
        await rig.set_project("film")
        await rig.fleet.SetLimit(fleet_pb.SetLimitRequest(request_id="l", name="disk", most=5))
        await rig.submit("a", "b", "c", project="film", limits=["disk"])
        card = SimulatedCard(rig)
        await card.exchange()
        (limit,) = (await rig.fleet.ListLimits(fleet_pb.ListLimitsRequest())).limits
        assert (limit.most, limit.used) == (5, len(card.held))
        projects = (await rig.fleet.ListProjects(fleet_pb.ListProjectsRequest())).projects
        (film,) = (project for project in projects if project.name == "film")
        assert (film.cards, film.clips_waiting) == (1, 3 - len(card.held))
