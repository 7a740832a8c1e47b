"""The file names of a whole submission: each clip's by the template, all of them different."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

from farm.domain.columns import normal
from farm.domain.names import safe_stem
from farm.domain.output_names import Template, facts_of, file_name_for, template_of
from farm.domain.row_parts import Names
from farm.domain.spec import ClipSpec, Problem
from farm.domain.values import BadValue, shown

OPTION: Final = "--output"
"""The column of problems with the template."""


class FileNames:
    """Names the files of one submission's clips. `ids` are their names so far."""

    def __init__(self, template: str, project: str, batch: str, ids: Names) -> None:
        self.problems: list[Problem] = []
        """With the template; whoever reads them takes them out."""
        self._project, self._batch, self._ids = project, batch, ids
        self._text = template.strip()
        self._template: Template | None = None
        self._taken = Names()
        self._unseen: dict[str, int] = {}
        """Columns that the template names and no row has had yet, with the first row without."""
        if self._text:
            try:
                self._template = template_of(self._text)
            except BadValue as bad:
                self.problems.append(Problem(0, OPTION, bad.what, bad.remedy))

    def check_header(self, own: Collection[str]) -> None:
        """Hold the template against the file's own columns."""
        try:
            if self._template:
                self._template.check_columns(own)
        except BadValue as bad:
            self.problems.append(Problem(0, OPTION, bad.what, bad.remedy))
            self._template = None

    def name(
        self, number: int, ordinal: int, name: str, spec: ClipSpec, own: Mapping[str, str]
    ) -> str | Problem:
        """The file name of a row's first version, or why it cannot have one."""
        if not self._text:
            return self._default(number, ordinal, name)
        if not self._template:
            return ""
        facts = facts_of(self._project, self._batch, name, number, spec, own)
        try:
            found = file_name_for(self._text, facts, 1)
        except BadValue as bad:
            missing = [column for column in self._template.columns if column not in facts.own]
            if not missing:
                return Problem(number, OPTION, bad.what, bad.remedy)
            for column in missing:
                self._unseen.setdefault(column, number)
            return ""
        if taken := self._taken.take(found, number, ordinal):
            return _taken(number, OPTION, found, taken, "add {id} to the template")
        return found

    def finish(self, own: Collection[str]) -> None:
        """Say which columns of the template some rows lack, or all; `own` are all that came."""
        known = {normal(column) for column in own}
        for column, row in self._unseen.items():
            if column in known:
                what = f"the output's name has {{{column}}} and the row has no {column}"
                remedy = f"write one in each row, or take {{{column}}} out of the template"
                self.problems.append(Problem(row, column, what, remedy))
        if self._unseen.keys() - known:
            self.check_header(own)

    def _default(self, number: int, ordinal: int, name: str) -> str | Problem:
        """Ids differ in more than case; what no file system takes may still make two alike."""
        stem = safe_stem(name, 1)
        plain = stem.removesuffix("_v001")
        if plain == name:
            taken = self._taken.holder(name)
        else:
            taken = self._ids.holder(plain)
            if taken is None or taken[1] == name:
                taken = self._taken.take(plain, number, ordinal)
        if taken is None:
            return stem
        remedy = "give one of them an id that differs in letters or digits"
        return _taken(number, "id", stem, taken, remedy)


def _taken(number: int, column: str, name: str, taken: tuple[int, str], remedy: str) -> Problem:
    row, _ = taken
    what = f"its files would be called {shown(name)} like those of row {row}"
    return Problem(number, column, what, remedy)
