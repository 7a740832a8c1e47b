"""The render child renders, writes and reports chunk by chunk, and never runs too far ahead."""

from __future__ import annotations

import asyncio
import hashlib
import resource
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from node_agent.encode import encoder_id
from node_agent.render.messages import (
    Cancel,
    Cancelled,
    ChunkDone,
    Done,
    Failed,
    Failure,
    FileRecord,
    Started,
    Yield,
    Yielded,
)

SILENCE_SECONDS = 0.4
"""Some thirty times what the test card needs for a chunk."""


def content(record: FileRecord) -> bytes:
    found = Path(record.path).read_bytes()
    assert len(found) == record.size
    assert hashlib.sha256(found).hexdigest() == record.sha256
    return found


async def is_silent(rehearsal) -> bool:
    try:
        async with asyncio.timeout(SILENCE_SECONDS):
            await anext(rehearsal.child)
    except TimeoutError:
        return True
    return False


async def test_a_clip_is_reported_chunk_by_chunk_with_the_proof_of_its_files(rehearse):
    stage = await rehearse()
    assert stage.ready.renderer == "testcard"
    assert stage.ready.stack_id.endswith(encoder_id())
    await stage.send(stage.order(frames=67))
    await stage.next(Started)
    chunks = await stage.chunks(3)
    await stage.next(Done)
    assert [(c.chunk, c.frames, c.frames_rendered) for c in chunks] == [
        (0, 33, 33),
        (1, 33, 33),
        (2, 1, 33),
    ]
    assert [chunk.init is not None for chunk in chunks] == [True, False, False]
    assert all(chunk.negative is None for chunk in chunks)
    assert len({content(chunk.segment) for chunk in chunks}) == 3
    content(chunks[0].init)
    written = {path.name for path in (stage.folder / "c-1").iterdir()}
    assert written == {"init.mp4", "chunk-00000.m4s", "chunk-00001.m4s", "chunk-00002.m4s"}


async def test_a_resumed_clip_in_another_process_gives_the_same_bytes(rehearse):
    first = await rehearse()
    await first.send(first.order(frames=100))
    await first.next(Started)
    whole = await first.chunks(4)

    second = await rehearse()
    await second.send(second.order(frames=100, attempt=2, resume_chunk=2))
    await second.next(Started)
    resumed = await second.chunks(2)
    await second.next(Done)
    assert [chunk.chunk for chunk in resumed] == [2, 3]
    assert [content(c.segment) for c in resumed] == [content(c.segment) for c in whole[2:]]
    assert content(resumed[0].init) == content(whole[0].init)


async def test_two_chunks_wait_to_be_recorded_and_no_third_is_begun(rehearse):
    stage = await rehearse()
    await stage.send(stage.order(frames=33 * 60))
    await stage.next(Started)
    zero, one = await stage.next(ChunkDone), await stage.next(ChunkDone)
    assert (zero.chunk, one.chunk) == (0, 1)
    assert await is_silent(stage)
    await stage.record(zero)


async def test_each_recorded_chunk_lets_one_more_begin(rehearse):
    stage = await rehearse()
    await stage.send(stage.order(frames=33 * 60))
    await stage.next(Started)
    zero = await stage.next(ChunkDone)
    await stage.next(ChunkDone)
    await stage.record(zero)
    assert (await stage.next(ChunkDone)).chunk == 2
    await stage.record(zero)  # said twice, counted once
    assert await is_silent(stage)


async def test_the_next_clip_begins_while_the_last_chunk_before_it_is_being_recorded(rehearse):
    stage = await rehearse()
    await stage.send(stage.order("a", frames=33))
    await stage.send(stage.order("b", frames=99))
    assert (await stage.next(Started)).clip_id == "a"
    # the end of one clip and the beginning of the next come from two threads
    reports = [await stage.next((ChunkDone, Done, Started)) for _ in range(4)]
    a, b = (report for report in reports if isinstance(report, ChunkDone))
    assert (a.clip_id, b.clip_id, b.chunk) == ("a", "b", 0)
    assert await is_silent(stage)
    await stage.record(a)
    assert (await stage.next(ChunkDone)).chunk == 1
    assert await is_silent(stage)


async def test_a_cancel_ends_a_chunk_in_the_middle_and_the_next_clip_follows(rehearse):
    stage = await rehearse(seconds_per_chunk=3600)
    for clip_id in ("a", "b", "c"):
        await stage.send(stage.order(clip_id))
    assert (await stage.next(Started)).clip_id == "a"
    await stage.send(Cancel(clip_id="b", attempt=1))
    assert (await stage.next(Cancelled)).clip_id == "b"  # it had not begun
    await stage.send(Cancel(clip_id="a", attempt=7))  # of another attempt: not meant
    await stage.send(Cancel(clip_id="a", attempt=1))
    endings = [await stage.next((Cancelled, Started)), await stage.next((Cancelled, Started))]
    assert {(r.kind, r.clip_id) for r in endings} == {("cancelled", "a"), ("started", "c")}


async def test_a_cancel_gives_back_the_credit_of_chunks_that_nobody_will_record(rehearse):
    stage = await rehearse()
    await stage.send(stage.order("a", frames=330))
    await stage.next(Started)
    await stage.next(ChunkDone)
    await stage.next(ChunkDone)
    await stage.send(Cancel(clip_id="a", attempt=1))
    await stage.next(Cancelled)
    await stage.send(stage.order("b", frames=66))
    await stage.next(Started)
    await stage.next(ChunkDone)
    await stage.next(ChunkDone)
    await stage.next(Done)
    await stage.send(Cancel(clip_id="b", attempt=1))  # found stale after its end
    await stage.send(stage.order("c", frames=66))
    await stage.next(Started)
    await stage.next(ChunkDone)


async def test_a_yield_ends_at_a_chunk_boundary(rehearse):
    stage = await rehearse()
    await stage.send(stage.order("a", frames=330))
    await stage.send(stage.order("b", frames=33))
    await stage.next(Started)
    chunks = [await stage.next(ChunkDone), await stage.next(ChunkDone)]
    await stage.send(Yield(clip_id="b", attempt=1))
    assert (await stage.next(Yielded)).clip_id == "b"
    await stage.send(Yield(clip_id="a", attempt=1))
    assert (await stage.next(Yielded)).clip_id == "a"
    for chunk in chunks:
        await stage.record(chunk)
    await stage.send(stage.order("a", frames=330, attempt=2, resume_chunk=2))
    await stage.next(Started)
    assert [chunk.chunk for chunk in await stage.chunks(8)] == list(range(2, 10))
    await stage.next(Done)


@pytest.mark.parametrize("wrong", [{"width": 100}, {"frames": 0}, {"resume_chunk": 9}])
async def test_a_clip_that_cannot_be_rendered_fails_as_input_and_the_next_is_served(
    rehearse, wrong
):
    stage = await rehearse()
    await stage.send(stage.order("bad", **wrong))
    failed = await stage.next(Failed)
    assert (failed.failure, failed.fatal) == (Failure.INPUT, False)
    assert failed.message
    await stage.send(stage.order("good", frames=1))
    await stage.next(Started)
    await stage.chunks(1)
    await stage.next(Done)


async def test_a_disk_that_takes_no_more_fails_the_attempt_as_storage(rehearse):
    """A limit on the size of files stands in for a full disk: the write itself fails."""
    stage = await rehearse()
    resource.prlimit(stage.child.pid, resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
    await stage.send(stage.order("a", frames=330))
    await stage.next(Started)
    failed = await stage.next(Failed)
    assert failed.failure is Failure.STORAGE
    assert not list((stage.folder / "a-1").glob(".*")), "no half file stays behind"
    unlimited = (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    resource.prlimit(stage.child.pid, resource.RLIMIT_FSIZE, unlimited)
    await stage.send(stage.order("a", frames=66, attempt=2))
    await stage.next(Started)
    await stage.chunks(2)
    await stage.next(Done)


async def test_memory_is_flat_over_sixty_chunks(rehearse):
    stage = await rehearse()
    process = psutil.Process(stage.child.pid)
    await stage.send(stage.order(frames=33 * 60, width=128, height=128))
    await stage.next(Started)
    sizes = []
    for _ in range(60):
        await stage.chunks(1)
        sizes.append(process.memory_info().rss)
    await stage.next(Done)
    growth = (sizes[-1] - sizes[2]) / 57
    assert growth < 100_000, f"{growth / 1e6:.3f} MB a chunk"


def test_neither_the_agents_side_nor_the_test_card_loads_torch():
    modules = (
        "node_agent.render.child, node_agent.render.testcard, node_agent.render.process, "
        "node_agent.render.session, node_agent.sidecar, node_agent.encode"
    )
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=180)
