"""Rows of a submission to clips, or to the list of everything that is wrong with them.

Rows come in blocks and leave as `NewClip`s; problems gather in the order of the file, those of
the settings and of the header first. Nothing is kept of a row but its name, so memory stays flat.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from farm.domain import values
from farm.domain.columns import OWN, ColumnTable, two_columns
from farm.domain.dependencies import Dependencies
from farm.domain.file_names import FileNames
from farm.domain.modes import MODE_FIELDS, settle
from farm.domain.row_parts import (
    DEFAULT_SIZE,
    Given,
    Names,
    derived_seed,
    frame_size,
    read_settings,
    readers,
    too_many_tokens,
)
from farm.domain.saved_look import SavedLook, settle_look
from farm.domain.spec import ClipSpec, NewClip, Problem
from farm.domain.tokens import CountTokens, TokenLimit
from farm.domain.values import BadValue, Limits, shown

__all__ = ["DEFAULT_FPS", "DEFAULT_FRAMES", "DEFAULT_SIZE", "Limits", "RowChecker"]

DEFAULT_FRAMES: Final = 120
"""Five seconds at the default rate."""
DEFAULT_FPS: Final = 24
DEFAULT_QUALITY: Final = "standard"

_REMEMBERED: Final = frozenset(
    {"frames", "size", "width", "height", "fps", "steps", "quality", "mode", "lora"}
)
_REMEMBERED_MAX: Final = 4096


class RowChecker:
    """Checks one submission. Feed `check` with all rows in order, then call `finish`.

    `columns` is the file's header in order; None or empty where rows name their own columns.
    `output` is the template of its files' names (`farm.domain.output_names`), empty the default.
    `count_tokens` is the model's tokenizer, asked in batches and seldom; None leaves the token
    limit unchecked.
    """

    def __init__(
        self,
        *,
        batch_name: str,
        columns: Sequence[str] | None = None,
        column_map: Mapping[str, str] | None = None,
        set_fields: Mapping[str, str] | None = None,
        project: str = "",
        output: str = "",
        limits: Limits = Limits(),  # noqa: B008 - frozen
        count_tokens: CountTokens | None = None,
    ) -> None:
        self.problems: list[Problem] = []
        """Everything wrong, in the order of the file. The submission is refused if there is any."""
        self.look: SavedLook | None = None
        """What every row keeps to; set before the first one is checked."""
        self.rows = 0
        self.frames = 0
        """Of all clips, as long as there is no problem."""
        self._batch_name = batch_name
        self._limits = limits
        self._tokens = TokenLimit(count_tokens, limits.prompt_tokens_max) if count_tokens else None
        self._readers = readers(limits)
        self._values: dict[tuple[str, str], Any] = {}
        self._names = Names()
        self._waits = Dependencies(self._names, limits.dependencies_max)
        self._files = FileNames(output, project, batch_name, self._names)
        self._full = False
        self._is_wide = False
        self._has_no_prompts = False
        self._set, problems = read_settings(set_fields or {}, self._readers, self._tokens)
        self._ignored = frozenset(self._set)
        self._sets_mode = not MODE_FIELDS.isdisjoint(self._set)
        if {"width", "height"} <= self._ignored:
            self._ignored |= {"size"}
        self._add([*problems, *self._files.problems])
        self._files.problems.clear()
        self._table = ColumnTable(column_map or {}, self._ignored)
        self._columns = tuple(columns or ())[: limits.columns_max]
        if self._columns:
            self._table.add_header(self._columns)
        self._take_over()
        if self._columns:
            self._check_header(len(columns or ()))

    @property
    def warnings(self) -> list[Problem]:
        """Things to know that refuse nothing."""
        return self._table.warnings

    @property
    def is_full(self) -> bool:
        """Nothing that comes would be looked at."""
        return self._full or self.rows > self._limits.clips_max

    def dependencies(self, size: int) -> Iterator[list[tuple[int, int]]]:
        """Which clips wait for which others (ordinals), in blocks; after `finish`."""
        return self._waits.blocks(size)

    def check(self, rows: Iterable[tuple[int, Mapping[str, str]]]) -> list[NewClip]:
        """The clips of a block of rows (number, column → text); none once there is a problem."""
        found: list[list[Problem]] = []
        clips: list[NewClip | None] = []
        for number, fields in rows:
            if self.is_full:
                break
            self.rows += 1
            problems: list[Problem] = []
            clips.append(self._row(number, fields, problems))
            found.append(problems)
            if self.rows > self._limits.clips_max:
                what = f"more than {self._limits.clips_max} clips"
                problems.append(Problem(number, "", what, "split the file into several batches"))
        self._check_tokens(clips, found)
        position = {column: i for i, column in enumerate(self._table.fields)}
        for problems in found:
            problems.sort(key=lambda problem: position.get(problem.column, -1))
            self._add(problems)
        if self.problems:
            return []
        accepted = [clip for clip in clips if clip]
        self.frames += sum(clip.spec.frames for clip in accepted)
        return accepted

    def finish(self) -> None:
        """Say what only the end can tell; call it once, after the last block."""
        if not self._columns:
            self._table.finish()
            self._take_over()
        self._files.finish(self._own_columns)
        self._add(self._files.problems)
        if not self.rows and not self.problems:
            self._add([Problem(0, "", "there are no clips", "add a row for each clip")])
        if not self._full and self.rows <= self._limits.clips_max:
            self._add(self._waits.finish())
        self.problems.sort(key=lambda problem: problem.row > 0)

    def _row(
        self, number: int, fields: Mapping[str, str], problems: list[Problem]
    ) -> NewClip | None:
        given, own = self._split(number, fields, problems)
        got: dict[str, Any] = {}
        for field, (column, text) in given.items():
            try:
                got[field] = self._value(field, text)
            except BadValue as bad:
                problems.append(Problem(number, column, bad.what, bad.remedy))
        name = self._name(number, given, got, problems)
        waits = got.get("after", ())
        if waits:
            column = given["after"][0]
            problems += self._waits.add(self.rows, number, column, waits)
        if "prompt" not in given and "prompt" not in self._set:
            self._missing_prompt(number, problems)
        if all(side in got for side in ("size", "width", "height") if side in given):
            size = frame_size(number, given, got, self._set, self._limits)
            if isinstance(size, Problem):
                problems.append(size)
            else:
                got["width"], got["height"] = size
        spec = {"frames": DEFAULT_FRAMES, "fps": DEFAULT_FPS, **got, **self._set}
        if self._sets_mode or not MODE_FIELDS.isdisjoint(given):
            problems += settle(number, given, frozenset(given.keys() - got.keys()), spec)
        if self.look is not None:
            columns = {name: f"--set {name}" for name in self._set}
            columns |= {field: column for field, (column, _) in given.items()}
            problems += settle_look(self.look, number, columns, spec)
        if problems or self._has_no_prompts:
            return None
        for field in ("size", "id", "after"):
            spec.pop(field, None)
        if "steps" not in spec and self._limits.presets:
            spec["steps"] = self._limits.presets[spec.get("quality", DEFAULT_QUALITY)]
        if "seed" not in spec:
            spec["seed"] = derived_seed(self._batch_name, name)
        clip = ClipSpec(**spec)
        file_name = self._files.name(number, self.rows, name, clip, own)
        if isinstance(file_name, Problem):
            problems.append(file_name)
            return None
        return NewClip(
            ordinal=self.rows,
            row=number,
            name=name,
            spec=clip,
            columns=own,
            waits=bool(waits),
            file_name=file_name,
        )

    def _split(
        self, number: int, fields: Mapping[str, str], problems: list[Problem]
    ) -> tuple[dict[str, tuple[str, str]], dict[str, str]]:
        """Our fields with their columns, and the batch's own columns."""
        known, given, own = self._table.fields, {}, {}
        for column, text in fields.items():
            field = known.get(column)
            if field is None:
                field = self._new_column(number, column, problems)
            if field == OWN:
                if text and self._is_sound(number, column, text, problems):
                    own[column] = text
            elif field not in self._ignored and (text := text.strip()):
                if field not in given:
                    given[field] = (column, text)
                elif not self._columns:
                    problems.append(two_columns(number, column, given[field][0], field))
        return given, own

    def _new_column(self, number: int, column: str, problems: list[Problem]) -> str:
        most = self._limits.columns_max
        if len(self._table.fields) >= most:
            if not self._is_wide:
                problems.append(_too_many_columns(number, most))
            self._is_wide = True
            return OWN
        field = self._table.resolve(column, number)
        problems += self._table.problems
        self._table.problems.clear()
        return field

    def _is_sound(self, number: int, column: str, text: str, problems: list[Problem]) -> bool:
        """The batch's own data: text of a bearable length."""
        try:
            values.own_text(text, self._limits)
        except BadValue as bad:
            problems.append(Problem(number, column, bad.what, bad.remedy))
            return False
        return True

    def _value(self, field: str, text: str) -> Any:
        if field not in _REMEMBERED:
            return self._readers[field](text)
        key = (field, text)
        value = self._values.get(key)
        if value is None:
            value = self._readers[field](text)
            if len(self._values) < _REMEMBERED_MAX:
                self._values[key] = value
        return value

    def _name(
        self, number: int, given: Given, got: Mapping[str, Any], problems: list[Problem]
    ) -> str:
        """The row's id, or its place in the batch; says when it is taken."""
        place = f"{self.rows:05d}"
        if "id" in given and "id" not in got:
            return place
        column = given["id"][0] if "id" in given else self._column_of("id")
        if "id" not in given and self._columns:
            if column:
                what = "the id is empty"
                problems.append(Problem(number, column, what, "give the row an id of its own"))
            return place
        name: str = got.get("id", place)
        if taken := self._names.take(name, number, self.rows):
            row, spelled = taken
            if name == spelled:
                what = f"the id {shown(name)} is taken by row {row}"
            else:
                what = f"the id {shown(name)} is too much like {shown(spelled)} of row {row}"
            remedy = "give each row an id of its own, different in more than case"
            problems.append(Problem(number, column or "id", what, remedy))
        return name

    def _missing_prompt(self, number: int, problems: list[Problem]) -> None:
        column = self._column_of("prompt")
        if column:
            what = "the prompt is empty"
        elif not self._columns:
            column, what = "prompt", "the prompt is missing"
        else:
            return
        problems.append(Problem(number, column, what, "write one or remove the row"))

    def _check_tokens(
        self, clips: Sequence[NewClip | None], found: Sequence[list[Problem]]
    ) -> None:
        if self._tokens is None:
            return
        for field in ("prompt", "negative_prompt", "schedule"):
            if field in self._set and self.look is None:
                continue
            if field == "schedule":
                texts = [
                    (i, clip, f" of chunk {mark.chunk}", mark.prompt)
                    for i, clip in enumerate(clips)
                    if clip and clip.spec.schedule
                    for mark in clip.spec.schedule
                ]
            else:
                texts = [
                    (i, clip, "", text)
                    for i, clip in enumerate(clips)
                    if clip and (text := getattr(clip.spec, field))
                ]
            for at, tokens in self._tokens.over([text for *_, text in texts]).items():
                i, clip, where, _ = texts[at]
                bad = too_many_tokens(tokens, self._limits.prompt_tokens_max, where)
                column = self._column_of(field) or field
                found[i].append(Problem(clip.row, column, bad.what, bad.remedy))

    def _column_of(self, field: str) -> str:
        return next((c for c, name in self._table.fields.items() if name == field), "")

    @property
    def _own_columns(self) -> list[str]:
        return [column for column, field in self._table.fields.items() if field == OWN]

    def _check_header(self, columns: int) -> None:
        self._files.check_header(self._own_columns)
        self._add(self._files.problems)
        self._files.problems.clear()
        if columns > self._limits.columns_max:
            self._is_wide = True
            self._add([_too_many_columns(1, self._limits.columns_max)])
        if "prompt" not in self._ignored and not self._column_of("prompt"):
            self._has_no_prompts = True
            what = "there is no column for the prompt"
            remedy = "name one prompt, or say which it is with --map COLUMN=prompt"
            self._add([Problem(1, "", what, remedy)])

    def _take_over(self) -> None:
        self._add(self._table.problems)
        self._table.problems.clear()

    def _add(self, problems: Iterable[Problem]) -> None:
        for problem in problems:
            if len(self.problems) < self._limits.problems_max:
                self.problems.append(problem)
            elif not self._full:
                self._full = True
                self.problems.append(too_many_problems(problem.row, self._limits.problems_max))


def too_many_problems(row: int, most: int) -> Problem:
    """The last line of a list that ends at its limit."""
    return Problem(
        row, "", f"more than {most} problems and the rest is not listed", "mend these and try again"
    )


def _too_many_columns(row: int, most: int) -> Problem:
    return Problem(row, "", f"more than {most} columns", "remove those that nobody needs")
