"""A simulated card: its type, its machine, and whichever agent serves it now."""

from __future__ import annotations

from dataclasses import dataclass

from farm.sim.fleet import CardType


@dataclass(slots=True, eq=False)
class SimCard:
    """A card of the fleet."""

    card_id: str
    node_id: str
    slot: int
    type: CardType
    slowness: float = 1.0
    """Times the seconds that its type takes."""
    starts: int = 0
    """Agents that were started on it."""

    def next_incarnation(self) -> str:
        """The name of the agent that is started now."""
        self.starts += 1
        return f"{self.card_id}.{self.starts}"
