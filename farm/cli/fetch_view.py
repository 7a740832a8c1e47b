"""The progress of a fetch on standard error: a bar on a terminal, nothing anywhere else."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from farm.cli import output
from farm.client import fetch


class FetchView:
    """A bar of bytes, with files beside it."""

    def __init__(self, what: str = "") -> None:
        """`what` stands before it."""
        console = output.console(err=True)
        self._progress = Progress(
            TextColumn(f"{what} {{task.fields[files]}}".strip()),
            BarColumn(bar_width=None),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("", total=None, files="")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def show(self, progress: fetch.Progress) -> None:
        """Move the bar."""
        self._progress.update(
            self._bar,
            total=progress.bytes,
            completed=min(progress.bytes_done, progress.bytes),
            files=f"{progress.files_done}/{progress.files} files",
        )
