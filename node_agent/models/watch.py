"""How long work on many bytes tells of its progress."""

from __future__ import annotations

from typing import Protocol


class Watch(Protocol):
    """Is told what happens, by several threads at once."""

    def begin(self, what: str, total: int) -> None:
        """Something of `total` bytes begins."""
        ...

    def advance(self, count: int) -> None:
        """So many bytes more are done; fewer than none when something has to be done again."""
        ...

    def say(self, text: str) -> None:
        """Something worth a line."""
        ...


class Unwatched:
    """Nobody looks."""

    def begin(self, what: str, total: int) -> None:
        """Nothing."""

    def advance(self, count: int) -> None:
        """Nothing."""

    def say(self, text: str) -> None:
        """Nothing."""


UNWATCHED = Unwatched()
