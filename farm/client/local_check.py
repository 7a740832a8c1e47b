"""A submission checked on this machine alone, as far as no farm is needed for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final

from farm.client.errors import Refused
from farm.client.farm import Submitted
from farm.client.inputs import BesideFile, absolute_settings
from farm.client.prepare import Prepared, prepare
from farm.client.rowfile import Row
from farm.client.submission import Planned, SubmitOptions, merged
from farm.domain.project import DEFAULT_PROJECT
from farm.domain.rows import RowChecker
from farm.domain.spec import NewClip, Problem
from farm.domain.terms import cost_limit, web_address
from farm.domain.values import BadValue, Limits

_BLOCK_ROWS: Final = 500


def check_alone(file: Path, asked: Mapping[str, Any]) -> Submitted:
    """What a farm would say of a file, with the widest limits. Raises `Refused`.

    `asked` are keywords of `SubmitOptions`.
    """
    settings = absolute_settings(asked["set_fields"], file.parent)
    options = SubmitOptions(**{**asked, "set_fields": settings, "request_id": "", "dry_run": True})
    prepared = prepare(file, options, datetime.now(UTC))
    if prepared.source is None or not prepared.rows:
        raise Refused(prepared.problems)
    source = BesideFile(prepared.source, file.parent, options.column_map)
    checker = checker_of(prepared, Limits())
    for _ in clips_of(checker, source.rows()):
        pass
    problems = [*prepared.problems, *_terms(prepared.options.planned), *checker.problems]
    if problems:
        raise Refused(merged(problems, (), source.columns))
    warnings = list(checker.warnings)
    return Submitted(None, checker.rows, checker.frames, warnings, repeated=False)


def _terms(planned: Planned) -> list[Problem]:
    """What is wrong with a batch's terms, in the words of a farm."""
    found = []
    limits = planned.budget.ListFields() if planned.budget is not None else []
    try:
        web_address(planned.webhook)
    except BadValue as bad:
        found.append(Problem(0, "--webhook", bad.what, bad.remedy))
    for field, value in limits:
        try:
            cost_limit(field.name.replace("_", " "), value)
        except BadValue as bad:
            found.append(Problem(0, "--budget", bad.what, bad.remedy))
    return found


def checker_of(prepared: Prepared, limits: Limits) -> RowChecker:
    """The checker of a submission, as a farm with these limits would have it."""
    options, source = prepared.options, prepared.source
    return RowChecker(
        batch_name=options.name,
        columns=list(source.columns) if source and source.columns else None,
        column_map=options.column_map,
        set_fields=options.set_fields,
        project=options.project or DEFAULT_PROJECT,
        output=options.planned.output,
        limits=limits,
    )


def clips_of(checker: RowChecker, rows: Iterator[Row]) -> Iterator[NewClip]:
    """The clips of rows, block by block; ends with the checker's last word."""
    while not checker.is_full and (block := list(islice(rows, _BLOCK_ROWS))):
        yield from checker.check(block)
    checker.finish()
