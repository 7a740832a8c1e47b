"""What a node's agents and its `farm-node join` tell each other, through files of the node.

Each agent writes how its card does; `join` reads it. `join` asks all agents to give their clips up
by a file that is there, so that an agent that is started anew in the meantime finds it, too.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class CardState:
    """A card, as its agent sees it."""

    condition: str
    """`ready`, or why it takes no clips now."""
    held: int = 0
    """Attempts."""
    chunks: int = 0
    """Rendered since the agent's start."""
    clips: int = 0
    """Delivered since the agent's start."""


class Presence:
    """The files, in the node's directory."""

    def __init__(self, directory: Path) -> None:
        self._cards = directory / "cards"
        self._leaving = directory / "leaving"

    def clear(self) -> None:
        """Nobody has said anything yet. Raises OSError."""
        self._cards.mkdir(parents=True, exist_ok=True)
        self.forget_cards()
        self._leaving.unlink(missing_ok=True)

    def forget_cards(self) -> None:
        """The agents are gone. Raises OSError."""
        for file in self._cards.glob("*.json"):
            file.unlink(missing_ok=True)

    def ask_to_leave(self) -> None:
        """Have every agent give up its clips and take no more. Raises OSError."""
        self._leaving.touch()

    @property
    def leaving(self) -> bool:
        """The agents were asked to."""
        return self._leaving.exists()

    def tell(self, card_id: str, state: CardState) -> None:
        """Write how a card does, in one step. Raises OSError."""
        self._cards.mkdir(parents=True, exist_ok=True)
        temporary = self._cards / f"{card_id}.tmp"
        temporary.write_text(json.dumps(asdict(state)))
        temporary.replace(self._cards / f"{card_id}.json")

    def cards(self) -> dict[str, CardState]:
        """How each card does that has spoken, by its id."""
        found = {}
        for file in sorted(self._cards.glob("*.json")):
            with suppress(OSError, ValueError, TypeError):  # it is gone, or of another version
                found[file.stem] = CardState(**json.loads(file.read_text()))
        return found
