"""A clip's chunks are listed as they were recorded, page by page, with URLs of their files."""

from __future__ import annotations

import asyncio

import grpc
import pytest
import urllib3

from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.fixtures.gateway import Rig, submission
from tests.fixtures.simulated_card import SimulatedCard, chunk_files


async def test_recorded_chunks_are_listed_with_urls_of_their_files(stored_rig: Rig) -> None:
    rows = [{"id": "fox", "prompt": "a fox", "frames": "99"}]
    await stored_rig.batches.Submit(submission(rows))
    card = SimulatedCard(stored_rig)
    await card.exchange()
    (key,) = card.held
    await card.render_chunk(key, 0)
    await card.render_chunk(key, 1)
    request = batch_pb.ListChunksRequest(clip_id=key[0], page_size=1)
    first = await stored_rig.batches.ListChunks(request)
    assert (first.clip.name, first.clip.spec.frames) == ("fox", 99)
    assert [chunk.chunk for chunk in first.chunks] == [0]
    files = chunk_files(key, 0)
    kinds = {types_pb.ARTIFACT_KIND_INIT: "init", types_pb.ARTIFACT_KIND_SEGMENT: "segment"}
    seen = 0
    for file in first.chunks[0].files:
        if name := kinds.get(file.artifact.kind):
            got = await asyncio.to_thread(urllib3.request, "GET", file.url)
            assert got.data == files[name]
            seen += 1
    assert seen == 2
    request.page_token = first.next_page_token
    second = await stored_rig.batches.ListChunks(request)
    assert [chunk.chunk for chunk in second.chunks] == [1]
    assert second.next_page_token == ""


async def test_a_clip_that_is_not_there_is_not_found(stored_rig: Rig) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match="there is no clip none") as error:
        await stored_rig.batches.ListChunks(batch_pb.ListChunksRequest(clip_id="none"))
    assert error.value.code() is grpc.StatusCode.NOT_FOUND
    with pytest.raises(grpc.aio.AioRpcError, match="names no clip"):
        await stored_rig.batches.ListChunks(batch_pb.ListChunksRequest())
