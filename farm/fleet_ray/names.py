"""What the farm's parts are called in Ray, and how its errors look from outside."""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "heliostat"
COORDINATOR: Final = "coordinator"
GATEWAY: Final = "gateway"


NAME_LABEL: Final = "heliostat/name"
"""A node's label: what its machine is called."""


def agent_name(card_id: str, node_id: str) -> str:
    """The agent that serves a card. A machine that comes back is another node, to Ray: its agents
    there have nothing to do with those that died with the first."""
    return f"agent/{card_id}@{node_id[:12]}"
