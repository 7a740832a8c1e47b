"""What a submission's file says beside its clips: the batch, defaults, templates, variables, wedge.

A YAML or JSON document has these parts beside `clips`; a JSON Lines file may begin with a line of
them. CSV files have columns only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any, Final

from farm.client.cells import as_text
from farm.domain.columns import normal
from farm.domain.values import BadValue, shown

PARTS: Final = ("batch", "defaults", "templates", "variables", "wedge")
"""Parts of a document beside its clips."""

SHAPE: Final = "write a list of clips, or defaults: and clips:"
_AS_MAPPING: Final = "write it as name: value"


@dataclass(frozen=True, slots=True)
class Head:
    """The parts of a file, in shape; what their values mean is for others to read."""

    batch: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    templates: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    """By their normalised names."""
    wedge: str = ""
    """As a cell has it; empty is none."""
    fills: bool = False
    """Braces in its prompts are variables."""

    def row(self, clip: Mapping[str, Any]) -> dict[str, str]:
        """A clip's cells: its own fields over its template's over the defaults.

        Raises `BadValue` for a template that there is not.
        """
        found = {normal(key): (key, value) for key, value in self.defaults.items()}
        template: Mapping[str, Any] = {}
        if self.templates and "template" in clip:
            template = self._template(as_text(clip["template"]))
            clip = {key: value for key, value in clip.items() if key != "template"}
        for key, value in template.items():
            found[normal(key)] = (key, value)
        named: dict[str, str] = {}
        for key, value in clip.items():
            if (same := normal(key)) in named:
                found[key] = (key, value)
            else:
                found[same] = (key, value)
                named[same] = key
        return {key: as_text(value) for key, value in found.values()}

    def _template(self, name: str) -> Mapping[str, Any]:
        if name in self.templates:
            return self.templates[name]
        near = get_close_matches(name, self.templates, 1)
        hint = f"did you mean {shown(near[0])}? " if near else ""
        names = ", ".join(list(self.templates)[:30])
        raise BadValue(f"there is no template {shown(name)}", f"{hint}there are {names}")


def read_head(parts: Mapping[str, Any]) -> Head:
    """The parts of a file. Raises `BadValue` for one of another shape, or that is none."""
    for key in parts:
        if key not in PARTS:
            near = get_close_matches(key, [*PARTS, "clips"], 1)
            hint = f"did you mean {near[0]}? " if near else ""
            remedy = f"{hint}{SHAPE} (also batch:, templates:, variables: and wedge:)"
            raise BadValue(f"{shown(key)} is no part of it", remedy)
    templates = _mapping(parts, "templates")
    for name, each in templates.items():
        if not isinstance(each, dict):
            raise BadValue(f"the template {shown(name)} is no mapping", _AS_MAPPING)
        if any(normal(key) in ("id", "template") for key in each):
            remedy = "each clip has an id and a template of its own"
            raise BadValue(f"the template {shown(name)} has an id or a template", remedy)
    batch, defaults = _mapping(parts, "batch"), _mapping(parts, "defaults")
    if (quality := batch.get("quality")) and "quality" not in map(normal, defaults):
        defaults = {**defaults, "quality": quality}
    variables: dict[str, str] = {}
    for name, value in _mapping(parts, "variables").items():
        if isinstance(value, dict | list):
            raise BadValue(f"the variable {shown(name)} is no text", "write one value for it")
        variables[normal(name)] = as_text(value)
    return Head(
        batch=batch,
        defaults=defaults,
        templates=templates,
        variables=variables,
        wedge=as_text(parts.get("wedge")),
        fills="templates" in parts or "variables" in parts,
    )


def is_head(line: Mapping[str, Any]) -> bool:
    """Whether the first line of a JSON Lines file is about the batch and not a clip."""
    return (
        bool(line)
        and all(key in PARTS for key in line)
        and any(isinstance(line.get(part), dict) for part in PARTS)
    )


def _mapping(parts: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = parts.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        are = "are" if name.endswith("s") else "is"
        raise BadValue(f"the {name} {are} no mapping", _AS_MAPPING)
    return found
