"""Prompts with variables: `{animal}` becomes what the row, or else the batch, says it is.

`{{` and `}}` are braces. What is filled in is not filled again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

from farm.domain.columns import normal
from farm.domain.values import BadValue, shown

FILLED: Final = ("prompt", "negative_prompt", "schedule")
"""Fields whose braces are variables."""
FILLED_CHARS_MAX: Final = 60_000
"""What a prompt may grow to on the way; how long it may be at last is for others to say."""

Lookup = Callable[[str], str | None]
"""A normalised name → its text."""

_BRACES: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAMES_SHOWN_MAX: Final = 30


def filled(field: str, text: str, lookup: Lookup, known: Callable[[], Collection[str]]) -> str:
    """A field with its variables filled in. Raises `BadValue`, which tells the `known` ones.

    A schedule that is a JSON list has its prompts filled and nothing else.
    """
    if "{" not in text and "}" not in text:
        return text
    if field != "schedule" or not text.lstrip().startswith("["):
        return _filled(text, lookup, known)
    try:
        marks: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    size = 0
    for mark in marks:
        if isinstance(mark, dict) and isinstance(mark.get("prompt"), str):
            mark["prompt"] = _filled(mark["prompt"], lookup, known)
            size += len(mark["prompt"])
        _check_size(size)
    return json.dumps(marks, ensure_ascii=False)


def lookup_in(*layers: Mapping[str, str]) -> Lookup:
    """Looks names up in layers of normalised names, the first that has one counts."""

    def look_up(name: str) -> str | None:
        return next((layer[name] for layer in layers if layer.get(name)), None)

    return look_up


def _filled(text: str, lookup: Lookup, known: Callable[[], Collection[str]]) -> str:
    parts: list[str] = []
    end = size = 0
    for match in _BRACES.finditer(text):
        parts += [text[end : match.start()], _value(match, lookup, known)]
        end = match.end()
        size += len(parts[-1])
        _check_size(size)
    return "".join([*parts, text[end:]])


def _check_size(size: int) -> None:
    if size > FILLED_CHARS_MAX:
        what = f"its variables make it longer than {FILLED_CHARS_MAX} characters"
        raise BadValue(what, "shorten them")


def _value(match: re.Match[str], lookup: Lookup, known: Callable[[], Collection[str]]) -> str:
    token = match.group()
    if token in ("{{", "}}"):
        return token[0]
    if len(token) == 1:
        raise BadValue(f"a {token} stands alone", f"write {{name}}, or {token * 2} for a brace")
    name = match.group(1).strip()
    value = lookup(normal(name))
    if value is not None:
        return value
    names = sorted(known())
    near = get_close_matches(normal(name), names, 1)
    hint = f"did you mean {{{near[0]}}}? " if near else ""
    there_is = ", ".join(names[:_NAMES_SHOWN_MAX]) or "none"
    what = f"there is no variable {shown(name)}"
    raise BadValue(what, f"{hint}the row has {there_is}; write {{{{ for a brace")
