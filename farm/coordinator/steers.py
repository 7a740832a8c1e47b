"""Changes of prompt that people asked for, until a recorded chunk was begun with them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from farm.domain.ledger import Steer
from farm.domain.spec import PromptMark
from farm.ports import Store

NEVER = -1
"""Of a change that no chunk was begun with."""


class Steers:
    """Those still to come, by clip. What changes is returned as rows to be written."""

    def __init__(self, store: Store) -> None:
        self._last = store.last_steer()
        self._open: dict[str, list[Steer]] = {}
        for steer in store.steers():
            self._open.setdefault(steer.clip_id, []).append(steer)

    def of(self, clip_id: str) -> Collection[Steer]:
        """A clip's, by number."""
        return self._open.get(clip_id, ())

    def ask(self, clip_id: str, mark: PromptMark, at: float) -> list[Steer]:
        """Another one, in the place of one for the same chunk; `at` is in Unix seconds."""
        self._last += 1
        steer = Steer(number=self._last, clip_id=clip_id, mark=mark, at=at)
        replaced = [each for each in self.of(clip_id) if each.mark.chunk == mark.chunk]
        rows = self._settle(clip_id, replaced, NEVER)
        self._open.setdefault(clip_id, []).append(steer)
        return [*rows, steer]

    def follow(self, clip_id: str, numbers: Collection[int], chunk: int) -> list[Steer]:
        """A chunk that was begun with those of these numbers is recorded."""
        followed = [each for each in self.of(clip_id) if each.number in numbers]
        return self._settle(clip_id, followed, chunk)

    def miss(self, clip_id: str) -> list[Steer]:
        """A clip has all its chunks: what is left came too late."""
        return self._settle(clip_id, list(self.of(clip_id)), NEVER)

    def _settle(self, clip_id: str, steers: Collection[Steer], chunk: int) -> list[Steer]:
        left = [each for each in self.of(clip_id) if each not in steers]
        self._open.pop(clip_id, None)
        if left:
            self._open[clip_id] = left
        return [replace(each, settled=chunk) for each in steers]
