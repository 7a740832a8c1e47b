"""A file on its way to the farm: read once to check it, once more to send it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from farm.client.files import Unreadable, open_rows
from farm.client.rowfile import Row, clean_row
from farm.client.times import timestamp
from farm.domain.rows import too_many_problems
from farm.domain.spec import Problem
from farm.domain.values import Limits
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types

_BLOCK_ROWS: Final = 500
_BLOCK_BYTES: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """What a batch is planned by, beside its priority."""

    deadline: datetime | None = None
    needs: types.Needs | None = None
    """None needs nothing."""
    limits: Sequence[str] = ()
    after: Sequence[str] = ()
    """Batches, by ids or names, that must have ended before its clips begin."""
    first_look: bool = False
    """Each clip waits after its first chunk for `approve` or `reject`."""
    every: int | None = None
    """None, 0: the longest first. 1: as in the file. N: the first, last and every N-th first."""
    failures_max: int | None = None
    """Failed clips that pause it; 0 is never, None is the farm's own rule."""
    output: str = ""
    """Template of its files' names, such as `{sequence}/{shot}_v{version:03}`."""
    webhook: str = ""
    """Where notices of it are posted."""
    budget: types.Budget | None = None
    """What it may cost; it is paused at the first limit that it reaches."""
    look: str = ""
    """A saved look that it keeps to."""
    deliver_to: str = ""
    """Where the gateway delivers its takes."""
    fresh: bool = False
    """Render also what the farm has a take of already."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitOptions:
    """What is said of a batch beside its rows."""

    name: str = ""
    """Empty is the file's own, or else what the file is called; so with the project."""
    project: str = ""
    project_else: str = ""
    """Where neither `project` nor the file says whose work it is."""
    priority: int | None = None
    """None is the file's own, or else 0."""
    column_map: Mapping[str, str] = field(default_factory=dict)
    """The file's column → our field, or → itself to keep it as own data."""
    set_fields: Mapping[str, str] = field(default_factory=dict)
    """Our field → its value for all rows."""
    dry_run: bool = False
    request_id: str
    wedge: Sequence[str] = ()
    """Axes over all rows, such as `seed=1..4`; they go before those of the file."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """For braces in prompts; they go before the file's. With any, `fill` is meant."""
    fill: bool = False
    """Braces in prompts are variables, also where the file does not say so."""
    resubmit_of: str = ""
    """Id or name of the batch that changed and new rows go into."""
    planned: Planned = Planned()


class Source(Protocol):
    """Rows that can be read more than once."""

    problems: list[Problem]
    """Found by the reading so far."""

    @property
    def columns(self) -> Sequence[str]:
        """The header; empty where rows name their own columns."""
        ...

    def rows(self) -> Iterator[Row]:
        """All rows in order."""
        ...


@dataclass(slots=True)
class Over:
    """A source over another one: whoever derives from it changes its rows."""

    source: Source

    @property
    def columns(self) -> Sequence[str]:
        """The file's header."""
        return self.source.columns

    @property
    def problems(self) -> list[Problem]:
        """Found by the reading so far."""
        return self.source.problems

    @problems.setter
    def problems(self, found: list[Problem]) -> None:
        self.source.problems = found


class GivenRows:
    """Rows from a program instead of a file, numbered from 1."""

    def __init__(self, rows: Iterable[Mapping[str, str]]) -> None:
        self.problems: list[Problem] = []
        self._rows = list(rows)

    @property
    def columns(self) -> Sequence[str]:
        """None: each row names its own."""
        return ()

    def rows(self) -> Iterator[Row]:
        """All rows in order."""
        del self.problems[:]
        for number, cells in enumerate(self._rows, 1):
            row = clean_row(number, cells, self.problems)
            if row[1]:
                yield row


@dataclass(slots=True)
class Checked:
    """A source after its first reading."""

    source: Source | None
    """None when nothing can be read."""
    rows: int
    problems: list[Problem]


def check_file(path: Path, mapped: Iterable[str]) -> Checked:
    """Read a file through once: how many rows it has, and what is wrong with it as a file."""
    try:
        source = open_rows(path, mapped)
    except Unreadable as error:
        return Checked(None, 0, [error.problem])
    return check_source(source)


def check_source(source: Source) -> Checked:
    """The same for any source."""
    rows = 0
    problems: list[Problem] = []
    limits = Limits()
    try:
        for number, _ in source.rows():
            rows += 1
            if rows > limits.clips_max:
                what = f"more than {limits.clips_max} clips"
                problems.append(Problem(number, "", what, "split the file into several batches"))
            if problems or len(source.problems) > limits.problems_max:
                break
    except Unreadable as error:
        problems.append(error.problem)
    problems = [*source.problems, *problems]
    if not rows and not problems:
        first = 1 if source.columns else 0
        what = "there is a header but no row under it" if first else "there are no clips"
        problems.append(Problem(first, "", what, "add a row for each clip"))
    return Checked(source, rows, problems)


def messages(
    source: Source, options: SubmitOptions, *, dry_run: bool
) -> Iterator[pb.SubmitRequest]:
    """The stream of one submission: its header, then its rows in blocks."""
    planned = options.planned
    yield pb.SubmitRequest(
        header=pb.SubmitHeader(
            request_id=options.request_id,
            name=options.name,
            project=options.project,
            priority=options.priority or 0,
            column_map=options.column_map,
            set_fields=options.set_fields,
            dry_run=dry_run,
            columns=source.columns,
            deadline=timestamp(planned.deadline),
            needs=planned.needs,
            limits=planned.limits,
            after=planned.after,
            first_look=planned.first_look,
            every=planned.every or 0,
            failures_max=planned.failures_max,
            output=planned.output,
            webhook=planned.webhook,
            budget=planned.budget,
            look=planned.look,
            deliver_to=planned.deliver_to,
            fresh=planned.fresh,
            resubmit_of=options.resubmit_of,
        )
    )
    block, size = pb.RowBlock(), 0
    try:
        for number, cells in islice(source.rows(), Limits().clips_max + 1):
            row = block.rows.add(number=number, fields=cells)
            size += row.ByteSize()
            if len(block.rows) >= _BLOCK_ROWS or size >= _BLOCK_BYTES:
                yield pb.SubmitRequest(rows=block)
                block, size = pb.RowBlock(), 0
    except Unreadable:
        # Known since the first reading; what could be read is checked with the rest.
        pass
    if block.rows:
        yield pb.SubmitRequest(rows=block)


def merged(
    ours: Sequence[Problem], farms: Sequence[pb.Problem], columns: Sequence[str]
) -> list[Problem]:
    """What the file's reading found and what the farm found, in the order of the file."""
    told = [Problem(p.row, p.column, p.what, p.remedy) for p in farms]
    last = [told.pop()] if len(told) > 1 and told[-1].row < told[-2].row else []
    position = {column: i for i, column in enumerate(columns)}
    both = sorted(
        {*ours, *told}, key=lambda p: (p.row, position.get(p.column, -1), p.column, p.what)
    )
    most = Limits().problems_max
    if len(both) > most + 1:
        both[most:] = [too_many_problems(both[most].row, most)]
    return both + last
