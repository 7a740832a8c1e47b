"""Another prompt for clips that render, through a gateway."""

from __future__ import annotations

from typing import Any

import grpc
import pytest

from heliostat.v1 import batch_service_pb2 as batch_pb
from tests.fixtures.gateway import Rig, reason_of
from tests.fixtures.simulated_card import SimulatedCard


def steering(**changes: Any) -> batch_pb.SteerRequest:
    whole = {"request_id": "s", "batch_id": "shots", "clips": ["clip1"], "prompt": "night"}
    return batch_pb.SteerRequest(**{**whole, **changes})


async def listed(rig: Rig) -> list[list[tuple[int, str]]]:
    answer = await rig.batches.ListClips(batch_pb.ListClipsRequest(batch_id="shots"))
    return [[(mark.chunk, mark.prompt) for mark in clip.steers] for clip in answer.clips]


async def test_it_is_asked_for_by_name_and_seen_until_it_shows(rig: Rig) -> None:
    await rig.submit("a", "b")
    assert (await rig.batches.Steer(steering(chunk=2))).clips == 1
    assert (await rig.batches.Steer(steering(chunk=2))).clips == 1, "the same request again"
    assert await listed(rig) == [[(2, "night")], []]
    card = SimulatedCard(rig)
    response = await card.exchange()
    (lease,) = (each for each in response.wanted if each.steers)
    assert (lease.order.name, lease.steers[0].prompt) == ("clip1", "night")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"prompt": "word " * 600}, "has 601 tokens and the model reads 512: shorten it by 89"),
        ({"prompt": "x" * 20_001}, "20001 characters are too many"),
        ({"prompt": ""}, "the new prompt is empty"),
        ({"clips": []}, "names no clip"),
    ],
)
async def test_what_no_row_could_have_is_refused(
    rig: Rig, changes: dict[str, Any], words: str
) -> None:
    await rig.submit("a")
    with pytest.raises(grpc.aio.AioRpcError, match=words) as caught:
        await rig.batches.Steer(steering(**changes))
    assert reason_of(caught.value) == "BAD_DECISION"
    assert await listed(rig) == [[]]


async def test_a_clip_that_is_not_there_is_named(rig: Rig) -> None:
    await rig.submit("a")
    with pytest.raises(grpc.aio.AioRpcError, match="no clip clip9"):
        await rig.batches.Steer(steering(clips=["clip1", "clip9"]))
