"""A file's own `batch:` section: what the options of `farm submit` say, said in the file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime
from difflib import get_close_matches
from typing import Any, Final

from farm.client.cells import as_text
from farm.client.errors import BadRequest
from farm.client.submission import Planned, SubmitOptions
from farm.client.times import deadline, memory_size
from farm.domain import modes
from farm.domain.spec import Problem
from farm.domain.values import BadValue, quality, shown, whole_number
from heliostat.v1 import types_pb2 as types

PRIORITY_MAX: Final = 1000
PAUSE_AFTER_MAX: Final = 1_000_000
EVERY_MAX: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Section:
    """What a section says; fields that it does not name are as in `Planned()`."""

    name: str = ""
    project: str = ""
    priority: int | None = None
    planned: Planned = field(default_factory=Planned)


def read_section(batch: Mapping[str, Any], now: datetime) -> tuple[Section, list[Problem]]:
    """The section, and everything wrong with it; `now` has a zone."""
    found: dict[str, Any] = {}
    problems: list[Problem] = []
    for key, value in batch.items():
        reader = _READERS.get(key)
        try:
            if reader is None:
                raise _unknown(key, _READERS)
            if value is not None and value != "":
                found[_FIELDS.get(key, key)] = reader(value, now)
        except (BadValue, BadRequest) as bad:
            what, remedy = _said(bad)
            problems.append(Problem(0, f"batch.{key}", what, remedy))
    if "every" in batch and "order" in batch:
        what = "there is an order and an every"
        problems.append(Problem(0, "batch.every", what, "keep one of them"))
    own = {key: found.pop(key) for key in ("name", "project", "priority") if key in found}
    found.pop("quality", None)  # A default of its clips: `read_head` makes it one.
    return Section(**own, planned=Planned(**found)), problems


def under(options: SubmitOptions, section: Section) -> SubmitOptions:
    """Options as they were given, and where they say nothing as the section has them."""
    given, plain = options.planned, Planned()
    unsaid = {
        each.name: getattr(section.planned, each.name)
        for each in fields(Planned)
        if getattr(given, each.name) == getattr(plain, each.name)
    }
    return replace(
        options,
        name=options.name or section.name,
        project=options.project or section.project,
        priority=section.priority if options.priority is None else options.priority,
        planned=replace(given, **unsaid),
    )


def budget(parts: Mapping[str, Any]) -> types.Budget:
    """A budget of `money`, `hours` and `kwh`. Raises `BadValue`."""
    found = types.Budget()
    for name, value in parts.items():
        if name not in BUDGETS:
            raise _unknown(name, BUDGETS)
        text = as_text(value).strip()
        try:
            setattr(found, BUDGETS[name], float(text))
        except ValueError:
            raise BadValue(f"{name} of {shown(text)} is no number", f"write {name}: 20") from None
    return found


def every(text: str) -> int:
    """An order, `longest` → 0, `file` → 1, `every:N` → N. Raises `BadValue`."""
    name, colon, number = text.strip().partition(":")
    if name == "every" and colon:
        return whole_number(number.strip(), 2, EVERY_MAX)
    if text.strip() in ("longest", "file"):
        return ("longest", "file").index(text.strip())
    raise BadValue(f"{shown(text)} is no order", "use longest, file, or every:N with N from 2 on")


def needs(parts: Mapping[str, Any]) -> types.Needs:
    """What is asked of cards. Raises `BadValue` and `BadRequest`."""
    found = types.Needs()
    for name, value in parts.items():
        match name:
            case "card_type":
                found.card_types.extend(_texts(value))
            case "tag":
                found.tags.extend(_texts(value))
            case "vram":
                found.vram_bytes = memory_size(as_text(value))
            case "profile" | "model":
                setattr(found, name, as_text(value))
            case _:
                raise _unknown(name, NEEDS)
    return found


BUDGETS: Final = {"money": "money", "hours": "hours", "kwh": "kilowatt_hours"}
"""What a budget can be in → its field of the contract."""
NEEDS: Final = ("card_type", "vram", "tag", "profile", "model")


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, dict):
        raise BadValue("it is no list", "write one name, or a list of them")
    return tuple(as_text(each) for each in value) if isinstance(value, list) else (as_text(value),)


def _text(value: Any) -> str:
    if isinstance(value, dict | list):
        raise BadValue("it is no text", "write one value")
    return as_text(value).strip()


def _parts(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise BadValue("it is no mapping", "write its parts as name: value")
    return value


def _priority(text: str) -> int:
    sign = -1 if text.startswith("-") else 1
    return sign * whole_number(text.removeprefix("-"), 0, PRIORITY_MAX)


Reader = Callable[[Any, datetime], Any]

_READERS: Final[Mapping[str, Reader]] = {
    "name": lambda value, _: _text(value),
    "project": lambda value, _: _text(value),
    "priority": lambda value, _: _priority(_text(value)),
    "deadline": lambda value, now: deadline(_text(value), now),
    "quality": lambda value, _: quality(_text(value)),
    "first_look": lambda value, _: modes.flag(_text(value)),
    "order": lambda value, _: every(_text(value)),
    "every": lambda value, _: whole_number(_text(value), 1, EVERY_MAX),
    "pause_after": lambda value, _: whole_number(_text(value), 0, PAUSE_AFTER_MAX),
    "after": lambda value, _: _texts(value),
    "limits": lambda value, _: _texts(value),
    "needs": lambda value, _: needs(_parts(value)),
    "budget": lambda value, _: budget(_parts(value)),
    "output": lambda value, _: _text(value),
    "webhook": lambda value, _: _text(value),
    "look": lambda value, _: _text(value),
    "deliver_to": lambda value, _: _text(value),
    "fresh": lambda value, _: modes.flag(_text(value)),
}
SECTION_FIELDS: Final = tuple(_READERS)
"""What a section can say."""

_FIELDS: Final = {"order": "every", "pause_after": "failures_max"}
"""Names of the section → of `Planned`, where they differ."""


def _unknown(name: str, known: Mapping[str, Any] | tuple[str, ...]) -> BadValue:
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    return BadValue(f"there is no {shown(name)}", f"{hint}use {', '.join(known)}")


def _said(bad: BadValue | BadRequest) -> tuple[str, str]:
    if isinstance(bad, BadValue):
        return bad.what, bad.remedy
    what, _, remedy = str(bad).rpartition(": ")
    return what, remedy
