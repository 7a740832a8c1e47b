"""What a clip's files are called, by a template such as `{sequence}/{shot}_v{version:03}`.

The farm's own fields come first, then the batch's own columns, by their normalised names. `/`
parts folders, `:03` pads a number, and `{{` is a brace. Values become safe parts of a path; what
they are made of cannot lead out of their folder.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property, lru_cache
from typing import Final

from farm.domain.columns import normal
from farm.domain.names import safe_part, safe_stem
from farm.domain.spec import ClipSpec
from farm.domain.values import BadValue, control_character, shown

FACTS: Final = (
    "project", "batch", "id", "name", "version", "seed", "row", "width", "height", "fps",
    "frames", "mode", "quality",
)  # fmt: skip
"""What a template can name beside the batch's own columns; `id` and `name` are the same."""

TEMPLATE_CHARS_MAX: Final = 500
FOLDERS_MAX: Final = 8
PAD_MAX: Final = 20

_PAD: Final = re.compile(r"0?([0-9]{1,2})d?")
_NOT_IN_NAMES: Final = re.compile(r'[<>:"\\|?*]')


@dataclass(frozen=True, kw_only=True)
class NameFacts:
    """What a clip's files can be named by, beside their version."""

    project: str
    batch: str
    """Its name, not its id."""
    name: str
    row: int
    seed: int
    width: int
    height: int
    fps: int
    frames: int
    mode: str
    quality: str
    columns: Mapping[str, str] = field(default_factory=dict)
    """The batch's own, as the file calls them."""

    @cached_property
    def own(self) -> dict[str, str]:
        """The batch's own columns by their normalised names; the first of two counts."""
        found: dict[str, str] = {}
        for column, text in self.columns.items():
            found.setdefault(normal(column), text)
        return found

    def value(self, name: str, version: int) -> str | int | None:
        """A fact or own column by its normalised name; None where the clip has none."""
        if name == "version":
            return version
        if name == "id":
            return self.name
        return getattr(self, name) if name in FACTS else self.own.get(name)


def facts_of(
    project: str, batch: str, name: str, row: int, spec: ClipSpec, columns: Mapping[str, str]
) -> NameFacts:
    """What a clip's files can be named by."""
    return NameFacts(
        project=project,
        batch=batch,
        name=name,
        row=row,
        seed=spec.seed,
        width=spec.width,
        height=spec.height,
        fps=spec.fps,
        frames=spec.frames,
        mode=spec.mode,
        quality=spec.quality,
        columns=columns,
    )


@dataclass(frozen=True, slots=True)
class Template:
    """A template, read: literal text, and the field (with its width in digits) after each."""

    text: str
    parts: tuple[tuple[str, str, int | None], ...]
    """(literal, normalised field or empty, digits or None)."""

    @property
    def columns(self) -> tuple[str, ...]:
        """Own columns that it names, normalised."""
        return tuple(dict.fromkeys(name for _, name, _ in self.parts if name not in ("", *FACTS)))

    def check_columns(self, columns: Collection[str]) -> None:
        """Raise `BadValue` for a field that is neither a fact nor one of the file's columns."""
        known = {normal(column) for column in columns}
        for name in self.columns:
            if name not in known:
                raise BadValue(f"there is no field {shown(name)}", _there_are(name, known))


@lru_cache(maxsize=256)
def template_of(text: str) -> Template:
    """Read a template. Raises `BadValue` for one that no clip could be named by."""
    if len(text) > TEMPLATE_CHARS_MAX:
        raise BadValue(f"it has {len(text)} characters", f"keep to {TEMPLATE_CHARS_MAX}")
    if control_character(text) or any(c in text for c in "\n\r\t"):
        raise BadValue("it holds a control character", "remove it")
    try:
        pieces = list(string.Formatter().parse(text))
    except ValueError:
        remedy = "write fields as {shot}, and a brace as {{ or }}"
        raise BadValue("its braces do not match", remedy) from None
    parts: list[tuple[str, str, int | None]] = []
    for literal, name, spec, conversion in pieces:
        if bad := _NOT_IN_NAMES.search(literal):
            remedy = "use / for folders, and letters, digits, dots, - and _"
            raise BadValue(f"{shown(bad.group())} can be in no file's name", remedy)
        if name is None:
            parts.append((literal, "", None))
        else:
            parts.append((literal, *_field(name, spec or "", conversion)))
    _check_shape(parts)
    return Template(text, tuple(parts))


def file_name_for(template: str, facts: NameFacts, version: int) -> str:
    """What the files of a clip's version are called, without their ending; `/` parts folders.

    An empty template is `{name}_v{version:03}`. Raises `BadValue` for a template that is none,
    and for a clip that lacks one of its fields.
    """
    if not template:
        return safe_stem(facts.name, version)
    found = "".join(
        literal + _spelled(name, digits, facts, version) if name else literal
        for literal, name, digits in template_of(template).parts
    )
    return "/".join(safe_part(part) for part in found.split("/"))


def _field(name: str, spec: str, conversion: str | None) -> tuple[str, int | None]:
    key = normal(name)
    if not key:
        raise BadValue("a field has no name", "write it as {shot}")
    if any(c in name for c in "{}[]/") or conversion:
        raise BadValue(f"{shown(name)} is no field", "write its name alone, such as {shot}")
    if not spec:
        return key, None
    match = _PAD.fullmatch(spec)
    if not match or int(match.group(1)) > PAD_MAX:
        remedy = f"write :03 for three digits, at most :0{PAD_MAX}"
        raise BadValue(f"{shown(spec)} is no way to write {key}", remedy)
    return key, int(match.group(1))


def _check_shape(parts: Collection[tuple[str, str, int | None]]) -> None:
    if not any(name == "version" for _, name, _ in parts):
        remedy = "add _v{version:03}, for a later version of a clip must not overwrite it"
        raise BadValue("it lacks {version}", remedy)
    folders = "".join(literal + ("x" if name else "") for literal, name, _ in parts).split("/")
    if any(folder.strip(" .") == "" for folder in folders):
        remedy = "begin and end it with a name, and have one between two /"
        raise BadValue("a part of its path is empty", remedy)
    if len(folders) > FOLDERS_MAX + 1:
        raise BadValue(f"it has {len(folders) - 1} folders", f"keep to {FOLDERS_MAX}")


def _spelled(name: str, digits: int | None, facts: NameFacts, version: int) -> str:
    value = facts.value(name, version)
    text = "" if value is None else str(value).strip()
    if not text:
        remedy = f"write one in its column, or take {{{name}}} out of the output's template"
        raise BadValue(f"the output's name has {{{name}}} and the row has no {name}", remedy)
    if digits is None:
        return text.replace("/", "_").replace("\\", "_")
    if not (text.isascii() and text.isdigit()):
        what = f"the output's name pads {name} with zeros and {shown(text)} is no whole number"
        raise BadValue(what, f"write {{{name}}} without its format")
    return text.zfill(digits)


def _there_are(name: str, columns: Collection[str]) -> str:
    near = get_close_matches(name, [*FACTS, *columns], 1)
    hint = f"did you mean {{{near[0]}}}? " if near else ""
    own = sorted(set(columns) - set(FACTS))[:30]
    return f"{hint}there are {', '.join([*FACTS, *own])}"
