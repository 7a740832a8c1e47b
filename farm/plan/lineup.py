"""Which batch goes before which: priority, then deadlines that are near, then fair shares.

Within one priority, batches whose deadline could soon no longer be kept go first, the earliest
that still can be kept before the later ones. All others take turns by project: the one that has
had least of late for its weight comes next, and its own batches go in the order in which they
arrived.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from farm.plan.board import Board, Entry
from farm.plan.policy import Policy
from farm.plan.share import had


@dataclass(slots=True)
class Level:
    """Batches of one priority that have clips in their queues."""

    urgent: list[Entry] = field(default_factory=list)
    by_project: dict[str, list[Entry]] = field(default_factory=dict)


class Lineup:
    """The batches with waiting clips, arranged; made anew when the board says that it changed."""

    def __init__(self, board: Board, policy: Policy) -> None:
        self._board = board
        self._policy = policy
        self._version = -1
        self._levels: list[Level] = []
        self._urgent: Mapping[str, float] = {}

    def set_urgent(self, deadlines: Mapping[str, float]) -> None:
        """Batch id → the deadline that it can just keep, as last looked at."""
        if deadlines != self._urgent:
            self._urgent = dict(deadlines)
            self._version = -1

    def is_urgent(self, batch_id: str) -> bool:
        """Its deadline is near, and can be kept."""
        return batch_id in self._urgent

    def urgent_deadline(self, batch_id: str) -> float | None:
        """Its deadline, where that is near and can be kept."""
        return self._urgent.get(batch_id)

    def rank(self, entry: Entry) -> tuple[float, float]:
        """What lets a batch displace another: priority, then urgency; the smaller goes first."""
        return (-entry.batch.priority, self._urgent.get(entry.batch.batch_id, float("inf")))

    def levels(self) -> list[Level]:
        """From the highest priority to the lowest."""
        if self._version != self._board.version:
            self._version = self._board.version
            self._levels = self._arrange()
        return self._levels

    def in_order(self, unix_now: float) -> Iterator[Entry]:
        """Batches with waiting clips, first to last."""
        for level in self.levels():
            yield from level.urgent
            for project in self.projects_in_order(level, unix_now):
                yield from level.by_project[project]

    def projects_in_order(self, level: Level, unix_now: float) -> list[str]:
        """The projects of a level, the one that is owed most first."""
        if len(level.by_project) < 2:
            return list(level.by_project)
        return sorted(level.by_project, key=lambda name: (self.had(name, unix_now), name))

    def had(self, project: str, unix_now: float) -> float:
        """What a project has had of late, for its weight."""
        half_life = self._policy.share_half_life_seconds
        return had(self._board.projects[project], unix_now, half_life)

    def _arrange(self) -> list[Level]:
        levels: dict[int, Level] = {}
        for entry in self._board.entries():
            if not (entry.is_open and entry.queues):
                continue
            self._board.project_of(entry.batch)
            level = levels.setdefault(entry.batch.priority, Level())
            if entry.batch.batch_id in self._urgent:
                level.urgent.append(entry)
            else:
                level.by_project.setdefault(entry.batch.project, []).append(entry)
        for level in levels.values():
            level.urgent.sort(key=lambda e: (self._urgent[e.batch.batch_id], e.number))
        return [levels[priority] for priority in sorted(levels, reverse=True)]
