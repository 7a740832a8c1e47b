"""What a clip is asked for that no plan looks at, as the JSON of `texts.options`.

Only what differs from the default is written: for a clip of text alone that is nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from farm.domain.spec import ClipSpec, Fork, LoraUse, PromptMark

_PLAIN: Final = ClipSpec(prompt="", frames=1, height=64, width=64, fps=1, seed=0)
_AS_THEY_ARE: Final = ("image", "video", "skip_first_chunk", "amplify_first_chunk")
_RANGES: Final = ("image_noise", "video_noise")
_all_of: Final = attrgetter(*_AS_THEY_ARE, *_RANGES, "schedule", "loras", "fork")
_NOTHING: Final = _all_of(_PLAIN)


def option_values(spec: ClipSpec) -> dict[str, Any]:
    """The JSON of a clip's options; empty when all are at their defaults."""
    if _all_of(spec) == _NOTHING:
        return {}
    found: dict[str, Any] = {
        name: value
        for name in (*_AS_THEY_ARE, *_RANGES)
        if (value := getattr(spec, name)) != getattr(_PLAIN, name)
    }
    if spec.schedule:
        found["schedule"] = mark_values(spec.schedule)
    if spec.loras:
        found["loras"] = [[lora.name, lora.scale] for lora in spec.loras]
    if spec.fork:
        found["fork"] = [spec.fork.chunk, spec.fork.seed]
    return found


def options_of(value: Mapping[str, Any] | None) -> dict[str, Any]:
    """Fields of a `ClipSpec` from that JSON."""
    if not value:
        return {}
    found = {name: value[name] for name in _AS_THEY_ARE if name in value}
    found |= {name: tuple(value[name]) for name in _RANGES if name in value}
    found["schedule"] = read_marks(value.get("schedule"))
    found["loras"] = tuple(LoraUse(*lora) for lora in value.get("loras", ()))
    found["fork"] = Fork(*value["fork"]) if "fork" in value else None
    return found


def mark_values(marks: Sequence[PromptMark]) -> list[Any]:
    """Prompts and their places as JSON."""
    return [[mark.chunk, mark.prompt, mark.blend_chunks] for mark in marks]


def read_marks(value: Sequence[Any] | None) -> tuple[PromptMark, ...]:
    """Prompts and their places from that JSON."""
    return tuple(PromptMark(*mark) for mark in value or ())
