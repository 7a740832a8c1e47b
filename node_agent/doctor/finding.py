"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """How a finding is meant."""

    GOOD = "good"
    WARNING = "warning"
    """It works, with less than it could."""
    BAD = "bad"
    """Rendering will fail."""
    UNKNOWN = "unknown"
    """It could not be found out, or was not asked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the doctor's report."""

    name: str
    state: State
    what: str
    """What is the case, with its figures."""
    remedy: str = ""
    """What to do about it; "" where nothing is to be done."""


def good(name: str, what: str) -> Finding:
    """It is as it should be."""
    return Finding(name=name, state=State.GOOD, what=what)


def warning(name: str, what: str, remedy: str) -> Finding:
    """It works, with less than it could."""
    return Finding(name=name, state=State.WARNING, what=what, remedy=remedy)


def bad(name: str, what: str, remedy: str) -> Finding:
    """Rendering will fail."""
    return Finding(name=name, state=State.BAD, what=what, remedy=remedy)


def unknown(name: str, what: str, remedy: str = "") -> Finding:
    """It could not be found out."""
    return Finding(name=name, state=State.UNKNOWN, what=what, remedy=remedy)


def gigabytes(count: float) -> str:
    """Decimal gigabytes, as `16.4 GB`."""
    return f"{count / 1e9:.1f} GB"
