"""The progress of a simulation, on standard error."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from farm.cli import output
from farm.cli.words import plural

Show = Callable[[float, int, int], None]


@contextmanager
def progress(cards: int) -> Iterator[Show]:
    """A bar on a terminal, nothing anywhere else. Yields what is called with each step."""
    if not sys.stderr.isatty():
        yield lambda _seconds, _ended, _clips: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    with Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=None),
        MofNCompleteColumn(),
        TextColumn("clips, {task.fields[hours]:.1f} h simulated"),
        TimeElapsedColumn(),
        console=output.console(err=True),
        transient=True,
    ) as bars:
        line = bars.add_task(plural(cards, "card"), total=None, hours=0.0)
        yield lambda seconds, ended, clips: bars.update(
            line, total=clips, completed=ended, hours=seconds / 3600
        )
