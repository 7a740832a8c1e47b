"""What projects have had of the fleet, and what they are owed.

Usage is in units of cost (`farm.plan.speed`), not in seconds: a card that is slow is no dearer.
It fades with a half-life, so that a project is neither punished for last week nor owed for it. Of
two projects that both wait, the one that has had less for its weight goes first; since each clip
is charged when it is leased, both are then served in the ratio of their weights.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from farm.domain.project import Project


@dataclass(frozen=True, slots=True)
class Share:
    """A project's part of the fleet, of late: both from 0 to 1."""

    had: float
    """Its part of what all projects have had; 0 where nobody had anything."""
    entitled: float
    """Its weight's part of all weights."""


def decayed(usage: float, since: float, now: float, half_life_seconds: float) -> float:
    """What is left at `now` of usage noted at `since`; both in Unix seconds.

    A clock that was set back makes nothing grow.
    """
    return usage * float(0.5 ** (max(0.0, now - since) / half_life_seconds))


def charged(project: Project, amount: float, now: float, half_life_seconds: float) -> Project:
    """The project with `amount` more usage; less than 0 gives back what was charged before.

    What is given back late has faded meanwhile, so usage ends at 0 and not below.
    """
    kept = decayed(project.usage, project.usage_at, now, half_life_seconds)
    return replace(project, usage=max(0.0, kept + amount), usage_at=now)


def had(project: Project, now: float, half_life_seconds: float) -> float:
    """What ranks projects: usage for each unit of weight. The smallest comes next."""
    return decayed(project.usage, project.usage_at, now, half_life_seconds) / project.weight


def shares(
    projects: Iterable[Project], *, now: float, half_life_seconds: float
) -> dict[str, Share]:
    """By name, what each project had of late and what it is entitled to while all wait."""
    known = list(projects)
    usage = {p.name: decayed(p.usage, p.usage_at, now, half_life_seconds) for p in known}
    total, weights = sum(usage.values()), sum(p.weight for p in known)
    return {
        p.name: Share(usage[p.name] / total if total > 0 else 0.0, p.weight / weights)
        for p in known
    }
