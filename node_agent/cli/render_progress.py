"""Chunks as they are made, on standard error: a bar on a terminal, lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from node_agent.render.messages import ChunkDone


class LineProgress:
    """A line for every chunk, with the time that the others will take."""

    def __init__(self, chunks: int) -> None:
        self._console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
        self._chunks = chunks
        self._done = 0
        self._began = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def begin(self) -> None:
        """The model is loaded: from now on time counts."""
        self._began = time.monotonic()

    def chunk(self, done: ChunkDone) -> None:
        """A chunk is safe."""
        self._done += 1
        left = (self._chunks - self._done) * (time.monotonic() - self._began) / self._done
        how = f"in {done.render_seconds:.1f} s" if done.render_seconds else "from its negative"
        self.say(
            f"chunk {done.chunk}: {done.frames} frames {how};"
            f" {self._done} of {self._chunks}, some {left:.0f} s left"
        )

    def say(self, text: str) -> None:
        """Anything else worth a line."""
        self._console.print(text)

    def close(self) -> None:
        """Nothing more comes."""


class BarProgress(LineProgress):
    """A bar that moves with every chunk."""

    def __init__(self, clip_id: str, chunks: int) -> None:
        super().__init__(chunks)
        self._bar = Progress(*_columns(), console=self._console)
        self._row = self._bar.add_task(clip_id, total=chunks)
        self._bar.start()

    def chunk(self, done: ChunkDone) -> None:  # noqa: ARG002 - the bar counts
        """A chunk is safe."""
        self._bar.advance(self._row)

    def close(self) -> None:
        """Leave the bar as it is."""
        self._bar.stop()


def progress_of(clip_id: str, chunks: int) -> LineProgress:
    """What standard error is made for."""
    is_terminal = Console(stderr=True).is_terminal
    return BarProgress(clip_id, chunks) if is_terminal else LineProgress(chunks)


@contextmanager
def steps_of(what: str, total: int) -> Iterator[Callable[[], None]]:
    """Steps of other work, told by calling what this gives: a bar on a terminal, else one line."""
    console = Console(stderr=True, soft_wrap=True, highlight=False, markup=False)
    if not console.is_terminal:
        console.print(f"{what}: {total} chunks")
        yield lambda: None
        return
    with Progress(*_columns(), console=console) as bar:
        row = bar.add_task(what, total=total)
        yield lambda: bar.advance(row)


def _columns() -> tuple[ProgressColumn, ...]:
    return (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("chunks"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
