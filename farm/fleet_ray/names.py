"""What the farm's parts are called in Ray, and how its errors look from outside."""

from __future__ import annotations

from typing import Final

NAMESPACE: Final = "heliostat"
COORDINATOR: Final = "coordinator"
GATEWAY: Final = "gateway"


def agent_name(card_id: str) -> str:
    """The agent that serves a card."""
    return f"agent/{card_id}"
