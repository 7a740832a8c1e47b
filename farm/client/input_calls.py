"""Files that clips start from, sent with a submission: a part of `Farm`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from farm.client.base import Calls
from farm.client.errors import Refused
from farm.client.inputs import (
    Cell,
    InputOptions,
    Sorted,
    input_cells,
    sort_texts,
)
from farm.client.sending import FileChanged, LocalInput, Sender, groups
from farm.client.submission import Source
from farm.domain.spec import Problem
from heliostat.v1 import batch_service_pb2 as pb

JOIN_SECONDS: Final = 600.0
"""Of a call that may have the farm read large files again."""


@dataclass(slots=True)
class InputPlan:
    """What a submission's images and videos are, and what has to be sent for them."""

    texts: Mapping[str, str] = field(default_factory=dict)
    """Text of a cell → what the farm is told instead."""
    problems: Sequence[Problem] = ()
    lacking: Sequence[LocalInput] = ()
    """Files that the farm does not have yet, each once."""
    cells: Mapping[LocalInput, Sequence[Cell]] = field(default_factory=dict)
    """Where files of this machine stand."""


class InputCalls(Calls):
    """Sends files by their content."""

    def prepare_inputs(
        self, files: Iterable[pb.InputFile] = (), *, project: str = "", only_look: bool = False
    ) -> pb.PrepareInputsResponse:
        """Which files the farm has, and where the others go; and what it takes at all.

        With `only_look` no upload is begun.
        """
        request = pb.PrepareInputsRequest(files=files, project=project, only_look=only_look)
        return self._connection.call(self._batches.PrepareInputs, request, JOIN_SECONDS)

    def plan_inputs(
        self,
        source: Source,
        column_map: Mapping[str, str],
        settings: Mapping[str, str],
        relative: set[str],
        project: str,
        options: InputOptions,
    ) -> InputPlan:
        """Look through a submission's images and videos; nothing is sent yet.

        `relative` are those that stood relative, filled while `source` is read.
        """
        cells = input_cells(source, column_map, settings) if options.upload else {}
        if not cells:
            return InputPlan()
        found = sort_texts(list(cells), relative, self.prepare_inputs(), options)
        places = self._places(found, project)
        texts = {text: places[_name(file)].place for text, file in found.files.items()}
        lacking = {_name(f): f for f in found.files.values() if not places[_name(f)].is_there}
        stand: dict[LocalInput, list[Cell]] = {}
        for text, file in found.files.items():
            stand.setdefault(file, []).extend(cells[text])
        return InputPlan(
            texts={**found.texts, **texts},
            problems=found.problems(cells),
            lacking=list(lacking.values()),
            cells=stand,
        )

    def send_inputs(self, plan: InputPlan, project: str, options: InputOptions) -> None:
        """Have all files of a plan be there. Raises `SendFailed`; `Refused` for a changed one."""

        def ask(files: Sequence[LocalInput]) -> pb.PrepareInputsResponse:
            return self.prepare_inputs((file.message for file in files), project=project)

        try:
            with Sender(ask, partial(options.on_progress, "sending")) as sender:
                sender.send(plan.lacking)
        except FileChanged as changed:
            bad = changed.bad
            raise Refused(
                [Problem(row, col, bad.what, bad.remedy) for row, col in plan.cells[changed.file]]
            ) from None

    def _places(self, found: Sorted, project: str) -> dict[tuple[str, str], pb.InputPlace]:
        """Where each file belongs, by its name in the bucket."""
        files = list({_name(file): file for file in found.files.values()}.values())
        places: dict[tuple[str, str], pb.InputPlace] = {}
        for group in groups(files):
            answer = self.prepare_inputs(
                (file.message for file in group), project=project, only_look=True
            )
            places.update(zip(map(_name, group), answer.places, strict=True))
        return places


def _name(file: LocalInput) -> tuple[str, str]:
    """What two files that are one in the bucket share."""
    return file.hashes.sha256, file.seen.ext
