"""A clip of the real model, resumed by another render child, is the same film to the byte."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_agent.encode import assemble
from node_agent.render.child import ChildOptions, RenderChild
from node_agent.render.messages import (
    ChunkDone,
    Done,
    Failed,
    Failure,
    Ready,
    Recorded,
    Report,
    Start,
    Started,
)
from node_agent.render.renderer import RenderSpec, needed_negatives

FRAMES = 67


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from node_agent.render.helios.tiny import build_tiny

    directory = tmp_path_factory.mktemp("models") / "helios-tiny"
    build_tiny(directory)
    return directory


async def rendered(model: Path, *orders: Start) -> list[Report]:
    """All reports of a child that serves these orders and leaves."""
    child = RenderChild(ChildOptions(renderer="helios", model=model, threads=1))
    await child.start()
    reports: list[Report] = []
    ended = 0
    try:
        for start in orders:
            await child.send(start)
        async for report in child:
            reports.append(report)
            if isinstance(report, ChunkDone):
                await child.send(
                    Recorded(clip_id=report.clip_id, attempt=report.attempt, chunk=report.chunk)
                )
            ended += isinstance(report, (Done, Failed))
            if ended == len(orders):
                break
    finally:
        await child.stop()
    return reports


def order(folder: Path, attempt: int, negatives: dict[int, str], prompt: str = "a heron") -> Start:
    spec = RenderSpec(
        clip_id="c", prompt=prompt, frames=FRAMES, height=128, width=128, seed=7, steps=(1, 1, 1)
    )
    resume = max(negatives, default=-1) + 1
    return Start(
        spec=spec,
        attempt=attempt,
        fps=24,
        directory=str(folder / str(attempt)),
        resume_chunk=resume,
        negatives=negatives,
    )


async def test_a_clip_resumed_after_others_failed_is_the_same_film_to_the_byte(
    model: Path, tmp_path: Path
):
    ready, started, *whole, done = await rendered(model, order(tmp_path, 1, {}))
    assert isinstance(ready, Ready)
    assert len(ready.model_digest) == 64
    assert isinstance(started, Started)
    assert isinstance(done, Done)
    assert [chunk.chunk for chunk in whole] == [0, 1, 2]
    assert all(chunk.negative is not None for chunk in whole)
    assert [chunk.passes for chunk in whole[1:]] == [3, 3], "one step in each of three stages"
    assert all(0 < chunk.pass_seconds < chunk.busy_seconds for chunk in whole)

    torn = tmp_path / "torn.safetensors"
    torn.write_bytes(b"not a negative")
    negatives = {k: whole[k].negative.path for k in needed_negatives(2)}
    _, storage, prompt, started, *resumed, done = await rendered(
        model,
        order(tmp_path, 2, {0: str(torn)}),
        order(tmp_path, 3, {}, prompt="heron " * 2000),
        order(tmp_path, 4, negatives),
    )
    assert (storage.failure, prompt.failure) == (Failure.STORAGE, Failure.INPUT)
    assert "torn.safetensors" in storage.message
    assert isinstance(started, Started)
    assert isinstance(done, Done)
    assert [chunk.chunk for chunk in resumed] == [2]
    assert [c.negative.sha256 for c in resumed] == [c.negative.sha256 for c in whole[2:]]

    init, parts = Path(whole[0].init.path), [Path(chunk.segment.path) for chunk in whole]
    joined = parts[:2] + [Path(chunk.segment.path) for chunk in resumed]
    takes = [
        assemble(init, segments, tmp_path / name, frames=FRAMES, fps=24)
        for name, segments in (("whole.mp4", parts), ("resumed.mp4", joined))
    ]
    assert takes[0].path.read_bytes() == takes[1].path.read_bytes()
