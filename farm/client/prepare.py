"""A submission made ready: the file read through, its own options under those that were given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from farm.client.batch_section import read_section, under
from farm.client.expand import WEDGE_OPTION, ExpandedRows, Expansion
from farm.client.files import Unreadable, open_rows
from farm.client.head import Head
from farm.client.submission import GivenRows, Source, SubmitOptions, check_source
from farm.domain.columns import normal
from farm.domain.spec import Problem
from farm.domain.values import BadValue
from farm.domain.wedge import Axes, axes_of


@dataclass(frozen=True, slots=True)
class Prepared:
    """A submission after its first reading."""

    source: Source | None
    """None when nothing can be read."""
    options: SubmitOptions
    """With what the file says of the batch, where nobody said otherwise."""
    rows: int
    """Clips, wedges expanded."""
    problems: list[Problem]


def prepare(
    what: Path | Iterable[Mapping[str, str]], options: SubmitOptions, now: datetime
) -> Prepared:
    """Read a file or a program's rows through once; `now` has a zone."""
    source: Source
    if isinstance(what, Path):
        try:
            file = open_rows(what, options.column_map)
        except Unreadable as error:
            return Prepared(None, options, 0, [error.problem])
        source, head = file, file.head
    else:
        source, head = GivenRows(what), Head()
    section, problems = read_section(head.batch, now)
    options = under(options, section)
    options = replace(
        options,
        name=options.name or (what.stem if isinstance(what, Path) else "batch"),
        project=options.project or options.project_else,
    )
    file_axes = _axes([head.wedge] if head.wedge else [], "wedge", problems)
    by = Expansion(
        file_axes=file_axes,
        given_axes=_axes(options.wedge, WEDGE_OPTION, problems),
        variables={**head.variables, **_normal(options.variables)},
        fills=head.fills or options.fill or bool(options.variables),
        column_map=options.column_map,
        set_fields=options.set_fields,
    )
    source = ExpandedRows(source, by)
    checked = check_source(source)
    return Prepared(checked.source, options, checked.rows, [*problems, *checked.problems])


def _axes(texts: Sequence[str], column: str, problems: list[Problem]) -> Axes:
    found: dict[str, Sequence[str]] = {}
    for text in texts:
        try:
            found |= axes_of(text) or {}
        except BadValue as bad:
            problems.append(Problem(0, column, bad.what, bad.remedy))
    return found


def _normal(names: Mapping[str, str]) -> dict[str, str]:
    return {normal(name): text for name, text in names.items()}
