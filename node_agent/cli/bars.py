"""Progress of work on many bytes, on standard error: a bar on a terminal, lines anywhere else."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from node_agent.cli.output import size
from node_agent.models.watch import Watch


class _Bars:
    """A bar for what is under way; it goes when everything is done."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._bar: TaskID | None = None

    def begin(self, what: str, total: int) -> None:
        """Another bar, in place of the last one."""
        if self._bar is not None:
            self._progress.remove_task(self._bar)
        self._bar = self._progress.add_task(what, total=total)

    def advance(self, count: int) -> None:
        """Move it."""
        if self._bar is not None:
            self._progress.advance(self._bar, count)

    def say(self, text: str) -> None:
        """A line above it."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)


class _Lines:
    """A line when something begins, and for what happens."""

    def begin(self, what: str, total: int) -> None:
        """A line."""
        typer.echo(f"{what}: {size(total)}", err=True)

    def advance(self, count: int) -> None:
        """Nothing: it would be a line for every block."""

    def say(self, text: str) -> None:
        """A line."""
        typer.echo(text, err=True)


@contextmanager
def watching() -> Iterator[Watch]:
    """Show what happens inside the block."""
    if not sys.stderr.isatty():
        yield _Lines()
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bars(progress)
