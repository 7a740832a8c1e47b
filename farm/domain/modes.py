"""What a clip is made from besides its prompt: the readers of those fields, and how they go
together."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from farm.domain import values
from farm.domain.schedule import marks_of
from farm.domain.spec import BLEND_CHUNKS, LoraUse, Problem
from farm.domain.values import BadValue, Limits, shown

MODE_FIELDS: Final = frozenset({"mode", "image", "video", "schedule", "blend_chunks", "lora"})
"""Fields that are held against each other, or become another one of the clip."""

LORAS_MAX: Final = 8
LORA_SCALE_MAX: Final = 10.0

_STARTS: Final = {"interactive": "schedule", "image_to_video": "image", "video_to_video": "video"}
"""Mode → what it cannot be without; the first one that a row has is its mode."""

_LORA: Final = re.compile(r"([A-Za-z0-9_][A-Za-z0-9._-]{0,63})(?:\s*:\s*([^:]+))?")
_RANGE: Final = re.compile(r"\s*([^\s-]+)\s*[-\u2013]\s*([^\s-]+)\s*")
_YES: Final = frozenset({"yes", "true", "y", "1", "on"})
_NO: Final = frozenset({"no", "false", "n", "0", "off"})


def flag(text: str) -> bool:
    """Yes or no."""
    word = text.casefold()
    if word not in _YES | _NO:
        raise BadValue(f"{shown(text)} is neither yes nor no", "write yes or no")
    return word in _YES


def sigma_range(text: str) -> tuple[float, float]:
    """How strong noise is, `LOWEST-HIGHEST` or one number, 0 to 1."""
    match = _RANGE.fullmatch(text)
    low, high = match.groups() if match else (text, text)
    found = values.decimal(low, 0, 1), values.decimal(high, 0, 1)
    if found[0] > found[1]:
        raise BadValue(f"{shown(text)} runs downwards", f"write {high}-{low}")
    return found


def loras(text: str, limits: Limits) -> tuple[LoraUse, ...]:
    """LoRAs of the farm, `NAME` or `NAME:SCALE`, several apart by commas."""
    if not limits.loras:
        raise BadValue("the farm has no LoRAs", "have it started with --loras DIR, or leave it out")
    found: dict[str, LoraUse] = {}
    for part in _parts(text):
        match = _LORA.fullmatch(part.strip())
        if not match:
            raise BadValue(
                f"{shown(part.strip())} is no name of a LoRA",
                "write NAME or NAME:SCALE, its name in letters, digits, dots, - and _",
            )
        name, scale = match.groups()
        if name in found:
            raise BadValue(f"{shown(name)} is named twice", "name each LoRA once")
        found[name] = LoraUse(
            name, values.decimal(scale.strip(), 0, LORA_SCALE_MAX) if scale else 1.0
        )
    if len(found) > LORAS_MAX:
        raise BadValue(f"{len(found)} LoRAs are too many", f"keep to {LORAS_MAX}")
    return tuple(found.values())


def settle(
    row: int, given: Mapping[str, tuple[str, str]], broken: frozenset[str], spec: dict[str, Any]
) -> list[Problem]:
    """Make a row's mode, schedule and LoRAs of what it says, in place; what does not fit together.

    `spec` holds the values of all its fields, and `broken` names those that have none because
    their text is wrong: what depends on one is left as it is.
    """
    bad: list[tuple[str, BadValue]] = []
    blend = spec.pop("blend_chunks", BLEND_CHUNKS)
    if "lora" in spec:
        spec["loras"] = spec.pop("lora")
    if not broken & MODE_FIELDS:
        bad += _settle_mode(spec)
    if "schedule" in spec and broken.isdisjoint(("frames", "fps", "blend_chunks")):
        spec["schedule"], wrong = marks_of(
            spec["schedule"], frames=spec["frames"], fps=spec["fps"], blend=blend
        )
        bad += [("schedule", each) for each in wrong]
    return [
        Problem(row, given[field][0] if field in given else field, each.what, each.remedy)
        for field, each in bad
    ]


def _settle_mode(spec: dict[str, Any]) -> list[tuple[str, BadValue]]:
    if "image" in spec and "video" in spec:
        what = "there is an image and a video"
        remedy = "keep one of them, for a clip starts from an image or goes on from a video"
        return [("video", BadValue(what, remedy))]
    mode = next((mode for mode, start in _STARTS.items() if start in spec), values.MODES[0])
    asked = spec.setdefault("mode", mode)
    if asked == mode:
        return []
    if asked in _STARTS and _STARTS[asked] not in spec:
        start = _STARTS[asked]
        remedy = f"give one in a column {start}, or leave the mode empty"
        return [("mode", BadValue(f"{asked} lacks its {start}", remedy))]
    start = _STARTS[mode]
    remedy = f"leave the mode empty, for with {_a(start)} it is {mode}, or remove the {start}"
    return [("mode", BadValue(f"{asked} takes no {start}", remedy))]


def _a(word: str) -> str:
    return f"an {word}" if word == "image" else f"a {word}"


def _parts(text: str) -> list[str]:
    """`a, b:0.8`, or the same as a JSON list of texts, as files with structure have it."""
    if not text.startswith("["):
        return text.split(",")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = [None]
    if not all(isinstance(each, str) for each in found):
        raise BadValue(f"{shown(text)} is no list of LoRAs", "write NAME:SCALE, such as film:0.8")
    return list(found)
