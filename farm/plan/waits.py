"""What clips wait for before they may be queued: takes of other clips, and batches that end."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

Cause = tuple[str, int]
"""(batch id, ordinal of a clip), or (batch id, 0) for the end of a whole batch."""


class Waits:
    """Both directions: what a clip waits for, and which clips wait for something."""

    def __init__(self) -> None:
        self._causes: dict[str, set[Cause]] = {}
        self._waiting: defaultdict[Cause, dict[str, None]] = defaultdict(dict)

    def add(self, clip_id: str, causes: Iterable[Cause]) -> None:
        """A clip waits for all of `causes`, and for nothing else."""
        self.forget(clip_id)
        self._causes[clip_id] = set(causes)
        for cause in self._causes[clip_id]:
            self._waiting[cause][clip_id] = None

    def of(self, clip_id: str) -> list[Cause]:
        """What a clip still waits for, in order."""
        return sorted(self._causes.get(clip_id, ()))

    def waiting_for(self, cause: Cause) -> list[str]:
        """Clips that wait for it."""
        return list(self._waiting.get(cause, ()))

    def settle(self, cause: Cause) -> list[str]:
        """It has happened: the clips that wait for nothing any more."""
        free = []
        for clip_id in self._waiting.pop(cause, ()):
            causes = self._causes[clip_id]
            causes.discard(cause)
            if not causes:
                del self._causes[clip_id]
                free.append(clip_id)
        return free

    def forget(self, clip_id: str) -> None:
        """A clip waits no more, whatever it waited for."""
        for cause in self._causes.pop(clip_id, ()):
            waiting = self._waiting[cause]
            waiting.pop(clip_id, None)
            if not waiting:
                del self._waiting[cause]
