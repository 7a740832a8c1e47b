"""A project that is locked to a look renders by it, and by nothing else."""

from __future__ import annotations

import itertools
from typing import Any

import grpc
import pytest

from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.fixtures.gateway import Rig, reason_of, submission

DIGEST = "a1" * 32
_requests = itertools.count()


async def save(rig: Rig, name: str = "noir", **pins: Any) -> types_pb.SavedLook:
    look = types_pb.SavedLook(name=name, **pins)
    request = fleet_pb.SaveLookRequest(request_id=f"save {next(_requests)}", look=look)
    return (await rig.fleet.SaveLook(request)).look


async def lock(rig: Rig, project: str, look: str) -> None:
    request = fleet_pb.SetProjectRequest(request_id=f"lock {look}", name=project, look=look)
    await rig.fleet.SetProject(request)


async def submit(rig: Rig, *rows: dict[str, str], **header: Any) -> batch_pb.SubmitResponse:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return await rig.batches.Submit(submission(rows, project="show", columns=columns, **header))


async def listed(rig: Rig) -> list[types_pb.Clip]:
    return list((await rig.batches.ListClips(batch_pb.ListClipsRequest(batch_id="shots"))).clips)


async def test_a_locked_project_fills_in_what_its_look_pins(rig: Rig) -> None:
    saved = await save(
        rig,
        model=DIGEST,
        quality="exact",
        steps=[3, 3, 3],
        prompt_prefix="Film noir.",
        negative_prompt="colour",
        stack_id="stack-7",
    )
    assert saved.saved_at.seconds
    await lock(rig, "show", "noir")
    answer = await submit(rig, {"prompt": "a fox"}, {"prompt": "Film noir. a cat"})
    assert not answer.problems
    assert answer.batch.look == "noir"
    assert answer.batch.needs.model == DIGEST
    assert answer.batch.needs.stack_id == "stack-7"
    fox, cat = await listed(rig)
    assert fox.spec.prompt == "Film noir. a fox"
    assert cat.spec.prompt == "Film noir. a cat"
    assert list(fox.spec.steps) == [3, 3, 3]
    assert (fox.spec.quality, fox.spec.negative_prompt) == ("exact", "colour")


async def test_what_contradicts_the_look_is_refused_row_by_row(rig: Rig) -> None:
    await save(rig, quality="exact", steps=[3, 3, 3], guidance_scale=1.0)
    await lock(rig, "show", "noir")
    answer = await submit(
        rig,
        {"prompt": "a", "quality": "exact"},
        {"prompt": "b", "quality": "draft", "steps": "1"},
    )
    told = {(p.row, p.column): (p.what, p.remedy) for p in answer.problems}
    assert told.keys() == {(3, "quality"), (3, "steps")}
    assert told[3, "quality"] == (
        '"draft" is not what the look "noir" pins',
        'leave it out, or write "exact"',
    )
    assert not (await rig.batches.List(batch_pb.ListRequest())).batches


async def test_a_setting_for_all_rows_is_held_against_the_look_too(rig: Rig) -> None:
    await save(rig, quality="exact")
    answer = await submit_to_default(rig, look="noir", set_fields={"quality": "draft"})
    assert [problem.column for problem in answer.problems] == ["--set quality"]


async def submit_to_default(rig: Rig, **header: Any) -> batch_pb.SubmitResponse:
    return await rig.batches.Submit(submission([{"prompt": "a fox"}], **header))


async def test_another_look_than_the_projects_is_refused(rig: Rig) -> None:
    await save(rig, "noir", quality="exact")
    await save(rig, "gaudy", quality="draft")
    await lock(rig, "show", "noir")
    answer = await submit(rig, {"prompt": "a fox"}, look="gaudy")
    (problem,) = answer.problems
    assert "locked to the look" in problem.what
    answer = await submit(
        rig, {"prompt": "a fox"}, needs=types_pb.Needs(model="another"), request_id="fits"
    )
    assert not answer.problems, "this look pins no model"


async def test_needs_that_contradict_the_look_are_refused(rig: Rig) -> None:
    await save(rig, model=DIGEST)
    await lock(rig, "show", "noir")
    other = types_pb.Needs(model="b2" * 32)
    answer = await submit(rig, {"prompt": "a fox"}, needs=other)
    assert "is not what the look" in answer.problems[0].what
    beginning = types_pb.Needs(model=DIGEST[:12])
    answer = await submit(rig, {"prompt": "a fox"}, needs=beginning, request_id="two")
    assert answer.batch.needs.model == DIGEST


async def test_a_look_that_there_is_not_is_refused(rig: Rig) -> None:
    answer = await submit_to_default(rig, look="nor")
    assert answer.problems[0].column == "--look nor"
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await lock(rig, "show", "nor")
    assert reason_of(caught.value) == "BAD_DECISION"


async def test_a_look_is_never_changed_and_not_forgotten_while_a_project_has_it(
    rig: Rig,
) -> None:
    await save(rig, quality="exact")
    with pytest.raises(grpc.aio.AioRpcError, match="choose another name"):
        await save(rig, quality="draft")
    await lock(rig, "show", "noir")
    forget = fleet_pb.ForgetLookRequest(request_id="one", name="noir")
    with pytest.raises(grpc.aio.AioRpcError, match="--no-look"):
        await rig.fleet.ForgetLook(forget)
    await lock(rig, "show", "")
    forget.request_id = "two"
    await rig.fleet.ForgetLook(forget)
    await rig.fleet.ForgetLook(forget)
    assert not (await rig.fleet.ListSavedLooks(fleet_pb.ListSavedLooksRequest())).looks


async def test_a_look_that_pins_nothing_is_refused(rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="pins nothing"):
        await save(rig)
    with pytest.raises(grpc.aio.AioRpcError, match="is no quality"):
        await save(rig, quality="nice")


async def test_a_look_without_loras_is_another_than_one_that_leaves_them_open(rig: Rig) -> None:
    assert (await save(rig, "bare", pins_loras=True)).pins_loras
    assert not (await save(rig, "open", quality="exact")).pins_loras
    rig.link.coordinator = type(rig.link.coordinator)(rig.store, rig.clock)
    looks = (await rig.fleet.ListSavedLooks(fleet_pb.ListSavedLooksRequest())).looks
    assert [(look.name, look.pins_loras) for look in looks] == [("bare", True), ("open", False)]
    answer = await submit_to_default(rig, look="bare", set_fields={"lora": "film:0.5"})
    assert answer.problems[0].remedy == "leave it out"


NOIR = {"prompt_prefix": "Film noir.", "negative_prompt": "colour"}


async def test_every_prompt_of_a_schedule_keeps_to_the_look(rig: Rig) -> None:
    await save(rig, **NOIR)
    await lock(rig, "show", "noir")
    row = {"prompt": "a fox", "frames": "99", "schedule": "1: it runs | 2: Film noir. it sleeps"}
    assert not (await submit(rig, row)).problems
    (clip,) = await listed(rig)
    marks = [mark.prompt for mark in clip.spec.schedule]
    assert marks == ["Film noir. it runs", "Film noir. it sleeps"]


async def test_a_prompt_that_comes_later_keeps_to_the_look_too(rig: Rig) -> None:
    await save(rig, **NOIR)
    await lock(rig, "show", "noir")
    await submit(rig, {"id": "fox", "prompt": "a fox"})
    about = {"batch_id": "shots", "clips": ["fox"], "prompt": "a cat"}
    (clip,) = (await rig.batches.Retake(batch_pb.RetakeRequest(request_id="r", **about))).clips
    assert (clip.spec.prompt, clip.spec.negative_prompt) == ("Film noir. a cat", "colour")
    await rig.batches.Steer(batch_pb.SteerRequest(request_id="s", chunk=1, **about))
    assert [mark.prompt for mark in (await listed(rig))[1].steers] == ["Film noir. a cat"]


async def test_the_prefix_counts_towards_the_tokens_of_what_is_set_for_all_rows(rig: Rig) -> None:
    await save(rig, prompt_prefix="noir " * 100)
    set_fields = {"prompt": "word " * 450}
    answer = await rig.batches.Submit(
        submission([{"id": "fox"}], look="noir", set_fields=set_fields)
    )
    assert "and the model reads 512" in answer.problems[0].what


async def test_a_look_that_was_forgotten_is_missed_by_what_would_have_to_keep_to_it(
    rig: Rig,
) -> None:
    await save(rig, **NOIR)
    await submit_to_default(rig, look="noir")
    await rig.fleet.ForgetLook(fleet_pb.ForgetLookRequest(request_id="f", name="noir"))
    answer = await submit_to_default(rig, name="any", resubmit_of="shots")
    assert 'there is no look "noir"' in answer.problems[0].what
    about = {"request_id": "r", "batch_id": "shots", "clips": ["00001"]}
    with pytest.raises(grpc.aio.AioRpcError, match='there is no look "noir"'):
        await rig.batches.Retake(batch_pb.RetakeRequest(prompt="a cat", **about))
    assert (await rig.batches.Retake(batch_pb.RetakeRequest(new_seed=True, **about))).clips
