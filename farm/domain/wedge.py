"""A wedge: one row over a grid of values, a clip of its own for each cell of the grid.

It is written `seed=1..4; guidance_scale=4,5` (axes apart by semicolons or line ends, values by
commas), or as a mapping of lists, which arrives as JSON. `1..4` and `4..8/2` are ranges with their
ends, `/` before the step. The last axis changes fastest.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

from farm.domain.columns import normal
from farm.domain.values import BadValue, shown

CELLS_MAX: Final = 10_000
"""Of one row."""
AXES_MAX: Final = 8
VALUE_CHARS_MAX: Final = 20_000
LABEL_VALUE_CHARS_MAX: Final = 40
ID_VALUE_CHARS_MAX: Final = 24
ID_CHARS_MAX: Final = 80
"""Of what a cell adds to its row's id."""
NONE: Final = "none"
"""Instead of axes: the row takes no part in the batch's wedge."""
NO_AXES: Final = frozenset({"id", "after", "wedge", "wedge_of", "template"})

Axes = Mapping[str, Sequence[str]]
"""Field or column → its values, in order."""

_RANGE: Final = re.compile(
    r"([0-9]{1,19}(?:\.[0-9]{1,9})?)\s*\.\.\s*([0-9]{1,19}(?:\.[0-9]{1,9})?)"
    r"(?:\s*/\s*([0-9]{1,19}(?:\.[0-9]{1,9})?))?"
)
_NOT_ID: Final = re.compile(r"[^A-Za-z0-9._]+")
_REMEDY: Final = "write seed=1..4; guidance_scale=4,5"


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination of a grid's values."""

    values: Mapping[str, str]
    """By axis."""

    @property
    def label(self) -> str:
        """As people read it: `seed=1 guidance_scale=4`."""
        return " ".join(f"{axis}={_short(value)}" for axis, value in self.values.items())

    @property
    def suffix(self) -> str:
        """As an id ends: `seed1-guidance_scale4`; letters, digits, dots, `-`, `_` and `~` only."""
        found = "-".join(f"{_word(axis)}{_word(value)}" for axis, value in self.values.items())
        if len(found) <= ID_CHARS_MAX:
            return found
        return f"{found[: ID_CHARS_MAX - 9]}~{_digest(found)}"


def axes_of(text: str) -> dict[str, tuple[str, ...]] | None:
    """The axes of a wedge; None for `none`. Raises `BadValue`."""
    text = text.strip()
    if text.casefold() == NONE:
        return None
    pairs = _from_json(text) if text.startswith("{") else _from_text(text)
    found: dict[str, tuple[str, ...]] = {}
    for name, items, is_text in pairs:
        axis = normal(name)
        if not axis or axis in NO_AXES:
            raise BadValue(f"{shown(name)} can be no axis of a wedge", _REMEDY)
        if axis in found:
            raise BadValue(f"{shown(name)} is an axis twice", "write all its values at once")
        found[axis] = _values(name, items, is_text)
    if not found:
        raise BadValue("the wedge is empty", _REMEDY)
    return found


def cells(axes: Axes) -> Iterator[Cell]:
    """All cells of a grid, the last axis changing fastest. Raises `BadValue` for too many."""
    if len(axes) > AXES_MAX:
        raise BadValue(f"the wedge has {len(axes)} axes", f"keep to {AXES_MAX}")
    count = math.prod(len(values) for values in axes.values())
    if count > CELLS_MAX:
        counts = " x ".join(str(len(values)) for values in axes.values())
        raise BadValue(f"the wedge has {counts} = {count} cells", f"keep to {CELLS_MAX} for a row")
    return (Cell(dict(zip(axes, each, strict=True))) for each in itertools.product(*axes.values()))


def _from_text(text: str) -> list[tuple[str, list[str], bool]]:
    found = []
    for part in re.split(r"[;\r\n]+", text):
        if not part.strip():
            continue
        name, equals, items = part.partition("=")
        if not equals:
            raise BadValue(f"{shown(part.strip())} is no axis of a wedge", _REMEDY)
        found.append((name.strip(), items.split(","), True))
    return found


def _from_json(text: str) -> list[tuple[str, list[str], bool]]:
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        raise BadValue(f"{shown(text)} is no wedge", _REMEDY) from None
    found = []
    for name, value in given.items():
        if isinstance(value, dict) or value is None:
            raise BadValue(f"the values of {shown(name)} are no list", _REMEDY)
        if isinstance(value, list):
            found.append((name, [_text(item) for item in value], False))
        else:
            found.append((name, _text(value).split(","), True))
    return found


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and value and all(type(each) is int for each in value):
        return "-".join(map(str, value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _values(name: str, items: Sequence[str], is_text: bool) -> tuple[str, ...]:
    found: dict[str, None] = {}
    for item in items:
        text = item.strip()
        if not text:
            raise BadValue(f"{shown(name)} has an empty value", f"write it as {name}=1,2")
        if len(text) > VALUE_CHARS_MAX:
            raise BadValue(f"a value of {shown(name)} has {len(text)} characters", "shorten it")
        match = _RANGE.fullmatch(text)
        for value in _range(text, match) if match else (text,):
            if value in found:
                raise BadValue(f"{shown(name)} has {shown(value)} twice", "write it once")
            found[value] = None
            if len(found) > CELLS_MAX:
                raise BadValue(f"{shown(name)} has more than {CELLS_MAX} values", "write fewer")
    if not found:
        raise BadValue(f"{shown(name)} has no values", f"write {name}=1,2" if is_text else _REMEDY)
    return tuple(found)


def _range(text: str, match: re.Match[str]) -> Iterator[str]:
    low, high, step = (Decimal(part or "1") for part in match.groups())
    if not step:
        raise BadValue(f"{shown(text)} has a step of 0", "write one above 0")
    if low > high:
        raise BadValue(f"{shown(text)} runs downwards", f"write {high}..{low}")
    count = int((high - low) / step) + 1
    if count > CELLS_MAX:
        raise BadValue(f"{shown(text)} has {count} values", f"keep to {CELLS_MAX}")
    return (f"{(low + i * step).normalize():f}" for i in range(count))


def _short(value: str) -> str:
    line = " ".join(value.split())
    return line if len(line) <= LABEL_VALUE_CHARS_MAX else line[: LABEL_VALUE_CHARS_MAX - 1] + "…"


def _word(value: str) -> str:
    """A value for an id; one that loses something on the way ends in a part of its hash."""
    word = _NOT_ID.sub("-", value).strip("-")
    if (
        word.replace("-", " ") == value.strip().replace("-", " ")
        and len(word) <= ID_VALUE_CHARS_MAX
    ):
        return word
    return f"{word[: ID_VALUE_CHARS_MAX - 7]}~{_digest(value)[:6]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:8]
