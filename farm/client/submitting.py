"""Submitting a file or rows, as a batch of its own or into one that is there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from farm.client import submission
from farm.client.base import new_request_id
from farm.client.errors import Refused
from farm.client.input_calls import InputCalls
from farm.client.inputs import BesideFile, InputOptions, Replaced, absolute_settings, replaced
from farm.client.prepare import prepare
from farm.client.submission import Planned
from farm.domain.spec import Problem
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types


@dataclass(frozen=True, slots=True)
class Submitted:
    """A submission without problems."""

    batch: types.Batch | None
    """None after a dry run."""
    clips: int
    frames: int
    warnings: list[Problem]
    repeated: bool
    """This request_id had been accepted before; `batch` is what it became then."""
    quote: types.Quote | None = None
    """What it should take and cost; None where the farm could not say."""
    reused: int = 0
    """Of `clips`, those whose takes were there already."""
    unchanged: int = 0
    """Of a resubmission: rows like the latest version of their clip."""
    changed: int = 0
    """Rows that became next versions."""
    missing: int = 0
    """Clips that no row speaks of any more; they stay."""


class Submitting(InputCalls):
    """Sends rows, and the files that they start from."""

    def submit(
        self,
        what: Path | Iterable[Mapping[str, str]],
        *,
        name: str = "",
        project: str = "",
        project_else: str = "",
        priority: int | None = None,
        column_map: Mapping[str, str] | None = None,
        set_fields: Mapping[str, str] | None = None,
        wedge: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        fill: bool = False,
        dry_run: bool = False,
        request_id: str = "",
        planned: Planned = Planned(),  # noqa: B008 - frozen
        inputs: InputOptions = InputOptions(),  # noqa: B008 - frozen
    ) -> Submitted:
        """Submit a file, or rows of text by column: all of it is accepted or none.

        Raises `Refused` with every problem. The same `request_id` twice is one batch; one is
        made up for each call that gives none. `name` is by default the file's. Relative paths
        of images and videos start where the file lies; a program's rows have absolute ones.
        `planned` is its deadline, what it needs, waits for and counts against. What is given here
        goes before what the file says of the batch. `SubmitOptions` says more of each. Images and
        videos that are files of this machine are sent, once each, when all else is right.
        """
        given = submission.SubmitOptions(
            name=name,
            project=project,
            project_else=project_else,
            priority=priority,
            column_map=column_map or {},
            set_fields=set_fields or {},
            wedge=wedge,
            variables=variables or {},
            fill=fill,
            dry_run=dry_run,
            request_id=request_id or new_request_id(),
            planned=planned,
        )
        return self._send(what, given, inputs)

    def resubmit(
        self,
        batch_id: str,
        what: Path | Iterable[Mapping[str, str]],
        *,
        column_map: Mapping[str, str] | None = None,
        set_fields: Mapping[str, str] | None = None,
        wedge: Sequence[str] = (),
        variables: Mapping[str, str] | None = None,
        fill: bool = False,
        dry_run: bool = False,
        fresh: bool = False,
        request_id: str = "",
        inputs: InputOptions = InputOptions(),  # noqa: B008 - frozen
    ) -> Submitted:
        """Submit a batch's file, or rows, again: what changed becomes the next version in it.

        Rows like the latest version of their clip are passed over, new ones are new clips, and
        clips that no row speaks of stay. What the file says of its batch does not count: the
        batch keeps what it has. Raises `Refused` as `submit` does.
        """
        given = submission.SubmitOptions(
            name=batch_id,
            column_map=column_map or {},
            set_fields=set_fields or {},
            wedge=wedge,
            variables=variables or {},
            fill=fill,
            dry_run=dry_run,
            request_id=request_id or new_request_id(),
            resubmit_of=batch_id,
            planned=Planned(fresh=fresh),
        )
        return self._send(what, given, inputs)

    def _send(
        self,
        what: Path | Iterable[Mapping[str, str]],
        given: submission.SubmitOptions,
        inputs: InputOptions,
    ) -> Submitted:
        """Read it through, send the files that lack, then the rows."""
        said, column_map = given.set_fields, given.column_map
        if isinstance(what, Path):
            given = replace(given, set_fields=absolute_settings(said, what.parent))
        prepared = prepare(what, given, datetime.now(UTC))
        source, options, settings = prepared.source, prepared.options, given.set_fields
        if source is None or not prepared.rows:
            raise Refused(prepared.problems)
        relative = {settings[each] for each in said if settings[each] != said[each]}
        if isinstance(what, Path):
            source = BesideFile(source, what.parent, column_map, relative)
        project = options.project
        if given.resubmit_of:
            project = self._project_of(given.resubmit_of)
            options = replace(options, name=given.name, project="", planned=given.planned)
            options = replace(options, priority=None)
        plan = self.plan_inputs(source, column_map, settings, relative, project, inputs)
        if plan.texts:
            source = Replaced(source, column_map, plan.texts)
            options = replace(options, set_fields=replaced(settings, plan.texts))
        problems = [*prepared.problems, *plan.problems]
        only_check = options.dry_run or bool(problems)
        if plan.lacking and not only_check:
            # Nothing is sent for a batch that will not be taken.
            self._submit(source, options, problems, dry_run=True)
            self.send_inputs(plan, project, inputs)
        answer = self._submit(source, options, problems, dry_run=only_check)
        return Submitted(
            answer.batch if answer.HasField("batch") else None,
            answer.clips,
            answer.frames,
            submission.merged((), answer.warnings, source.columns),
            answer.repeated_request,
            answer.quote if answer.HasField("quote") else None,
            answer.reused,
            answer.unchanged,
            answer.changed,
            answer.missing,
        )

    def _project_of(self, batch_id: str) -> str:
        request = pb.GetRequest(batch_id=batch_id)
        return self._connection.call(self._batches.Get, request).batch.project

    def _submit(
        self,
        source: submission.Source,
        options: submission.SubmitOptions,
        problems: Sequence[Problem],
        *,
        dry_run: bool,
    ) -> pb.SubmitResponse:
        """What the farm says to it. Raises `Refused` for its problems and those known before."""
        answer: pb.SubmitResponse = self._connection.send(
            self._batches.Submit, lambda: submission.messages(source, options, dry_run=dry_run)
        )
        if problems or answer.problems:
            raise Refused(submission.merged(problems, answer.problems, source.columns))
        return answer
