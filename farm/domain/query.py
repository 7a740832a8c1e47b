"""Which of a batch's clips are asked for."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from farm.domain.review import Verdict


@dataclass(frozen=True, slots=True)
class ColumnMatch:
    """A column that has one of some values, in any case; `*` stands for anything."""

    column: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipQuery:
    """Clips that fit all of it; what is empty asks nothing."""

    where: tuple[ColumnMatch, ...] = ()
    verdicts: Collection[Verdict | None] = ()
    """None stands for a take that nobody has reviewed yet."""
    latest: bool = False
    """Only the highest version of each name."""
    clips: Collection[str] | None = None
    """Names (every version) or ids; None is all."""
