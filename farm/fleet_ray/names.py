"""What the farm's parts are called in Ray, and how its errors look from outside."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

NAMESPACE: Final = "heliostat"
COORDINATOR: Final = "coordinator"
GATEWAY: Final = "gateway"


NAME_LABEL: Final = "heliostat/name"
"""A node's label: what its machine is called."""


OTHER_PYTHON: Final = "#"
"""In the name of an agent that does not run with its node's own interpreter, before which it is."""


def agent_name(card_id: str, node_id: str, python: str = "") -> str:
    """The agent that serves a card. A machine that comes back is another node, to Ray: its agents
    there have nothing to do with those that died with the first. Nor has one that runs with another
    interpreter, of another release of Heliostat, anything to do with the one before it."""
    name = f"agent/{card_id}@{node_id[:12]}"
    return f"{name}{OTHER_PYTHON}{sha256(python.encode()).hexdigest()[:12]}" if python else name
