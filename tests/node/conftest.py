"""A render child in rehearsal: a real process with the test card; the test is its agent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from node_agent.render.child import ChildOptions, RenderChild
from node_agent.render.messages import ChunkDone, Command, Ready, Recorded, Report, Start
from node_agent.render.renderer import RenderSpec

PATIENCE_SECONDS = 180

_Kind = TypeVar("_Kind")


class Rehearsal:
    """A started child that has said `Ready`, with what a test asks of it again and again."""

    def __init__(self, child: RenderChild, ready: Ready, folder: Path) -> None:
        self.child = child
        self.ready = ready
        self.folder = folder

    async def next(self, kind: type[_Kind]) -> _Kind:
        """The next report, which must be of this kind."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            report = await anext(self.child)
        assert isinstance(report, kind), report
        return report

    async def rest(self) -> list[Report]:
        """All reports until the child ends."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [report async for report in self.child]

    async def send(self, command: Command) -> None:
        """Send a command."""
        await self.child.send(command)

    def order(self, clip_id: str = "c", frames: int = 99, attempt: int = 1, **more) -> Start:
        """A start of a small clip, in a folder of its own."""
        size = {"width": more.pop("width", 64), "height": more.pop("height", 64)}
        spec = RenderSpec(clip_id=clip_id, prompt="p", frames=frames, seed=3, **size)
        directory = str(self.folder / f"{clip_id}-{attempt}")
        return Start(spec=spec, attempt=attempt, fps=24, directory=directory, **more)

    async def record(self, done: ChunkDone) -> None:
        """Say that a chunk is safe."""
        await self.send(Recorded(clip_id=done.clip_id, attempt=done.attempt, chunk=done.chunk))

    async def chunks(self, count: int) -> list[ChunkDone]:
        """The next `count` reports, which must be chunks; each is recorded at once."""
        done = []
        for _ in range(count):
            done.append(await self.next(ChunkDone))
            await self.record(done[-1])
        return done


@pytest.fixture
async def rehearse(tmp_path: Path) -> AsyncIterator[Callable[..., object]]:
    """A factory of rehearsals; their children are gone when the test is over."""
    children: list[RenderChild] = []

    async def start(seconds_per_chunk: float = 0.0, **options) -> Rehearsal:
        child = RenderChild(
            ChildOptions(renderer="testcard", seconds_per_chunk=seconds_per_chunk, **options)
        )
        children.append(child)
        await child.start()
        async with asyncio.timeout(PATIENCE_SECONDS):
            ready = await anext(child)
        assert isinstance(ready, Ready), ready
        return Rehearsal(child, ready, tmp_path)

    yield start
    for child in children:
        child.kill()
        await child.wait()
