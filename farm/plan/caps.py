"""How much more may go out: projects' caps and bursts, and the limits that batches share."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from farm.domain.project import Limit, Project

UNLIMITED: Final = 2**31
"""More than any farm has of anything."""


def project_room(project: Project, held: int, others_wait: bool) -> int:
    """Cards that a project may have beside the `held` ones, ≥ 0.

    Its cap holds while other projects have clips that wait, so that one show cannot take the
    whole fleet; what nobody else wants is better used than idle, up to its burst. A burst is the
    most that it ever has.
    """
    most = UNLIMITED if project.burst is None else project.burst
    if others_wait and project.cap is not None:
        most = min(most, project.cap)
    return max(0, most - held)


def limit_room(used: Mapping[str, int], names: Iterable[str], limits: Mapping[str, Limit]) -> int:
    """Clips of a batch that names these limits which may go out now, ≥ 0: the tightest counts.

    A name without a limit limits nothing: it was removed after the batch was submitted.
    """
    rooms = (limits[name].most - used.get(name, 0) for name in names if name in limits)
    return max(0, min(rooms, default=UNLIMITED))
