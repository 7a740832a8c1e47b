"""A saved look: what the clips of a show have in common, pinned under a name.

A project may be locked to one: then its rows need not say what the look says, and may not say
anything else. A look is never changed, for clips were made by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from farm.domain.errors import BadDecision
from farm.domain.fleet import Needs
from farm.domain.spec import LoraUse, Problem
from farm.domain.values import shown


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedLook:
    """What a look pins; what is empty or None it leaves open."""

    name: str
    model: str = ""
    """A model's digest."""
    loras: tuple[LoraUse, ...] | None = None
    """Exactly these; an empty tuple is none at all."""
    quality: str = ""
    steps: tuple[int, ...] = ()
    guidance_scale: float | None = None
    prompt_prefix: str = ""
    """Comes before every prompt."""
    negative_prompt: str = ""
    stack_id: str = ""
    """Only cards with this stack render it."""
    note: str = ""
    saved_at: float = 0.0
    """Unix seconds."""

    @property
    def pins(self) -> dict[str, Any]:
        """Field of a `ClipSpec` → the value that it has in every clip."""
        found = {
            "quality": self.quality,
            "steps": self.steps,
            "negative_prompt": self.negative_prompt,
        }
        pinned: dict[str, Any] = {name: value for name, value in found.items() if value}
        if self.guidance_scale is not None:
            pinned["guidance_scale"] = self.guidance_scale
        if self.loras is not None:
            pinned["loras"] = self.loras
        return pinned

    def prompt(self, text: str) -> str:
        """A prompt under this look; one that is missing stays so."""
        if not text or not self.prompt_prefix or text.startswith(self.prompt_prefix):
            return text
        return f"{self.prompt_prefix.rstrip()} {text}"


def settle_look(
    look: SavedLook, row: int, columns: Mapping[str, str], spec: dict[str, Any]
) -> Iterator[Problem]:
    """Pin a row's fields in place; what it says otherwise is a problem.

    `columns` tells for each field that the row or a setting gives which column that is.
    """
    for field, value in look.pins.items():
        given_as = "lora" if field == "loras" else field
        if given_as in columns and spec.get(field, value) != value:
            yield Problem(
                row,
                columns[given_as],
                f"{_said(spec[field])} is not what the look {shown(look.name)} pins",
                f"leave it out, or write {_said(value)}" if value else "leave it out",
            )
        spec[field] = value
    if "prompt" in spec:
        spec["prompt"] = look.prompt(spec["prompt"])
    if "schedule" in spec:
        spec["schedule"] = tuple(
            replace(each, prompt=look.prompt(each.prompt)) for each in spec["schedule"]
        )


def look_for(
    asked: str, locked: str, project: str, known: Mapping[str, SavedLook]
) -> SavedLook | None:
    """The look of a batch, by what it asks for and what its project is locked to.

    Raises `BadDecision` for another look than the project's, and for one that does not exist.
    """
    if asked and locked and asked != locked:
        raise BadDecision(
            f"project {project} is locked to the look {shown(locked)}: leave --look out, or "
            f"submit it to another project"
        )
    name = asked or locked
    if not name:
        return None
    if name not in known:
        raise BadDecision(f"there is no look {shown(name)}: `farm look list` shows those there are")
    return known[name]


def needs_under(look: SavedLook | None, needs: Needs) -> Needs:
    """What a batch needs under a look. Raises `BadDecision` where it asks for something else."""
    if look is None:
        return needs
    found = {"model": needs.model, "stack_id": needs.stack_id}
    for field, pinned in (("model", look.model), ("stack_id", look.stack_id)):
        if not pinned:
            continue
        said = found[field]
        if said and not pinned.startswith(said):
            raise BadDecision(
                f"{shown(said)} is not what the look {shown(look.name)} pins: leave it out"
            )
        found[field] = pinned
    return replace(needs, model=found["model"], stack_id=found["stack_id"])


def _said(value: Any) -> str:
    if isinstance(value, tuple):
        said = ",".join(
            f"{each.name}:{each.scale:g}" if isinstance(each, LoraUse) else str(each)
            for each in value
        )
        return said or "none"
    return shown(value) if isinstance(value, str) else f"{value:g}"
