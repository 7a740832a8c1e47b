"""Projects, whose work it is, and the named limits that batches may share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_PROJECT: Final = "default"
"""The project of a batch that names none; it is always there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """A show, a client: its share of the fleet, and what it has had of it lately."""

    name: str
    weight: float = 1.0
    """Of two projects that want cards, one with twice the weight gets twice the time."""
    cap: int | None = None
    """Cards at once while others wait for cards; None is no cap."""
    burst: int | None = None
    """Cards at once while nobody else waits; None is as many as there are."""
    usage: float = 0.0
    """Card seconds at the reference pace, decayed up to `usage_at`."""
    usage_at: float = 0.0
    """Unix seconds."""
    look: str = ""
    """The saved look that all its clips must keep to; empty is none."""


@dataclass(frozen=True, slots=True)
class Limit:
    """At most `most` clips of all batches that name it hold a card at once: licences, a disk."""

    name: str
    most: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What a person said of a clip at its first look."""

    clip_id: str
    score: float | None = None
    """On whatever scale the house uses; higher is better."""
    note: str = ""
