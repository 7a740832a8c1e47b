"""What the command line prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

import typer

from farm.domain.errors import AmbiguousName, FarmError, NotFound, RequestConflict
from farm.domain.spec import Problem
from farm.domain.values import one_line
from heliostat.services.errors import ServiceError

if TYPE_CHECKING:
    from rich.console import Console

OK: Final = 0
FAILED: Final = 1
"""Clips failed, or the farm did."""
REFUSED: Final = 2
"""Wrong usage, wrong settings or refused input."""
UNREACHABLE: Final = 3
NOT_FOUND: Final = 4
INTERRUPTED: Final = 130


def report(error: BaseException, *, as_json: bool) -> int:
    """Print an expected error and return its exit code; raise any other one again."""
    if isinstance(error, KeyboardInterrupt):
        note("interrupted")
        return INTERRUPTED
    if isinstance(error, FarmError):
        text, reason, code = str(error), error.reason, code_of(error)
    elif isinstance(error, ServiceError):
        text, reason, code = str(error), error.reason, FAILED
    elif isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        where = f"{error.filename}: " if error.filename else ""
        text, reason, code = f"{where}{error.strerror or error}", "OS_ERROR", FAILED
    else:
        raise error
    if as_json:
        print_json({"error": {"reason": reason, "message": text}})
    for line in text.splitlines():
        note(f"farm: {line}")
    return code


def code_of(error: FarmError) -> int:
    """The exit code of an error."""
    from farm.client.errors import BadRequest, FarmUnreachable, Refused
    from farm.config import ConfigError
    from farm.plan.bench_record import BadRecord
    from farm.sim.faults import BadFaults
    from farm.sim.fleet import BadCards

    usage = (
        BadRequest, Refused, ConfigError, AmbiguousName, RequestConflict, BadFaults, BadCards,
        BadRecord,
    )  # fmt: skip
    if isinstance(error, FarmUnreachable):
        return UNREACHABLE
    if isinstance(error, NotFound):
        return NOT_FOUND
    return REFUSED if isinstance(error, usage) else FAILED


def problem_line(file: str, problem: Problem) -> str:
    """`FILE:ROW:COLUMN: what is wrong, what to do` on one line, whatever is in it."""
    column = problem.column or "-"
    return one_line(f"{file}:{problem.row}:{column}: {problem.what}, {problem.remedy}")


def problem_values(file: str, problems: Iterable[Problem]) -> list[dict[str, Any]]:
    """Problems for JSON."""
    return [
        {"file": file, "row": p.row, "column": p.column, "what": p.what, "remedy": p.remedy}
        for p in problems
    ]


def note(text: str) -> None:
    """A line for a person, on standard error."""
    typer.echo(text, err=True)


def say(text: str) -> None:
    """A line of the result, on standard output."""
    typer.echo(text)


def print_json(value: Any) -> None:
    """A result for programs, on standard output."""
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_json_line(value: Any) -> None:
    """One of many results for programs, each on a line."""
    typer.echo(json.dumps(value, ensure_ascii=False))


def console(*, err: bool = False) -> Console:
    """Where tables are drawn; not narrower than a table needs when it goes into a file."""
    from rich.console import Console

    stream = sys.stderr if err else sys.stdout
    width = None if stream.isatty() else 160
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def print_table(
    headers: Sequence[str],
    rows: Iterable[Sequence[str]],
    right: set[int],
    *,
    narrow: bool = False,
    empty: str = "",
) -> None:
    """A plain table; the columns numbered in `right` are numbers.

    A narrow one has many of them: only its first column may wrap. `empty` is said in place of a
    table without rows.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=narrow)
    for i, header in enumerate(headers):
        table.add_column(
            header,
            justify="right" if i in right else "left",
            overflow="fold",
            no_wrap=narrow and i > 0,
        )
    for row in rows:
        table.add_row(*(Text(one_line(cell)) for cell in row))
    if empty and not table.row_count:
        say(empty)
        return
    console().print(table)
