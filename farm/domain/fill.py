"""Prompts with variables: `{animal}` becomes what the row, or else the batch, says it is.

`{{` and `}}` are braces. What is filled in is not filled again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from farm.domain.columns import normal
from farm.domain.values import BadValue, shown

FILLED: Final = ("prompt", "negative_prompt", "schedule")
"""Fields whose braces are variables."""
FILLED_CHARS_MAX: Final = 60_000
"""What a prompt may grow to on the way; how long it may be at last is for others to say."""

Layers = Sequence[Mapping[str, str]]

_BRACES: Final = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAMES_SHOWN_MAX: Final = 30


def filled(field: str, text: str, *layers: Mapping[str, str]) -> str:
    """A field with its variables filled in, from the first of `layers` that has each.

    The keys of layers are normalised names. Raises `BadValue`, which tells those that there are.
    A schedule that is a JSON list has its prompts filled and nothing else.
    """
    if "{" not in text and "}" not in text:
        return text
    if field != "schedule" or not text.lstrip().startswith("["):
        return _filled(text, layers)
    try:
        marks: Any = json.loads(text)
    except (ValueError, RecursionError):
        return text
    size = 0
    for mark in marks:
        if isinstance(mark, dict) and isinstance(mark.get("prompt"), str):
            mark["prompt"] = _filled(mark["prompt"], layers)
            size += len(mark["prompt"])
        _check_size(size)
    return json.dumps(marks, ensure_ascii=False)


def _filled(text: str, layers: Layers) -> str:
    parts: list[str] = []
    end = size = 0
    for match in _BRACES.finditer(text):
        parts += [text[end : match.start()], _value(match, layers)]
        end = match.end()
        size += len(parts[-1])
        _check_size(size)
    return "".join([*parts, text[end:]])


def _check_size(size: int) -> None:
    if size > FILLED_CHARS_MAX:
        what = f"its variables make it longer than {FILLED_CHARS_MAX} characters"
        raise BadValue(what, "shorten them")


def _value(match: re.Match[str], layers: Layers) -> str:
    token = match.group()
    if token in ("{{", "}}"):
        return token[0]
    if len(token) == 1:
        raise BadValue(f"a {token} stands alone", f"write {{name}}, or {token * 2} for a brace")
    name = match.group(1).strip()
    key = normal(name)
    for layer in layers:
        if value := layer.get(key):
            return value
    names = sorted(set().union(*layers))
    near = get_close_matches(normal(name), names, 1)
    hint = f"did you mean {{{near[0]}}}? " if near else ""
    there_is = ", ".join(names[:_NAMES_SHOWN_MAX]) or "none"
    what = f"there is no variable {shown(name)}"
    raise BadValue(what, f"{hint}the row has {there_is}; write {{{{ for a brace")
