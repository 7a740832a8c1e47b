"""What the farm rendered, made and used, by day and project (docs/usage.md has the formulas)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final

NOBODY: Final = ""
"""Whose usage it is where no project has it: cards without a clip."""
SECONDS_OF_DAY: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Sums; joules are of GPU boards."""

    frames_rendered: int = 0
    """By cards, whole chunks, whatever became of them."""
    frames_delivered: int = 0
    """Of takes that were rendered; a take that was there already counts nothing."""
    clips_delivered: int = 0
    video_seconds: float = 0.0
    """Of those takes, by their own frame rates."""
    waste_frames: int = 0
    """Of chunks that never were recorded, and of recorded ones whose clip was given up."""
    trimmed_frames: int = 0
    """From the ends of takes."""
    reused_frames: int = 0
    """Of use once more: of a retried clip, and of chunks that a delivered version took over."""
    card_seconds: float = 0.0
    """Of cards at work, waste counted in; joules and money likewise."""
    waste_card_seconds: float = 0.0
    idle_card_seconds: float = 0.0
    """Of cards that were online without a clip."""
    joules: float = 0.0
    measured_joules: float = 0.0
    """Of the joules, those that sensors measured; the rest is estimated by power caps."""
    waste_joules: float = 0.0
    idle_joules: float = 0.0
    """Measured beyond what chunks account for; what no sensor measured is not counted."""
    money: float = 0.0
    """Electricity and the cards' share of their price."""
    waste_money: float = 0.0
    idle_money: float = 0.0


FIELDS: Final = tuple(Usage.__dataclass_fields__)

More = Mapping[str, float]
"""What is to be added to a `Usage`, by name of the field."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """Usage of a day or month, of a project, of both, or of all."""

    period: str = ""
    """`2026-11-30` or `2026-11`, in UTC; empty where it is not parted by time."""
    project: str | None = None
    """`NOBODY` is no project; None where it is not parted by project."""
    usage: Usage


@dataclass(frozen=True, slots=True)
class ChunkCosts:
    """What recorded chunks of a batch took on one card."""

    batch_id: str
    card_id: str
    seconds: float
    joules: float
    """Measured."""
    unmeasured_seconds: float
    """Of the seconds, those of which no joules are known."""


def day_of(at: float) -> str:
    """The UTC day of Unix seconds, as ISO 8601 has it."""
    return datetime.fromtimestamp(at, tz=UTC).date().isoformat()


def parse_day(text: str) -> date:
    """`2026-11-30`. Raises `ValueError` with what is wrong."""
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no day: write it as 2026-11-30") from None
