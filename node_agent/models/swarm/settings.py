"""What a node's supply of models is started with."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from heliostat.swarm.picker import Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class SupplySettings:
    """Where models go, and how this node is reached."""

    node: str
    """Its hostname: what neighbours call it."""
    stamps: Path
    """Beside the models, as everywhere."""
    address: str = "127.0.0.1"
    """Of this machine, as its neighbours reach it."""
    port: int = 0
    """Where it gives pieces; 0 is any that is free."""
    upload_mbit: float = 0.0
    """The most to give, in Mbit/s; 0 is what there is."""
    limits: Limits = field(default_factory=Limits)
