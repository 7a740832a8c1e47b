"""What an agent is started with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from node_agent.models.swarm.settings import SupplySettings
from node_agent.progress import StallLimits
from node_agent.quality.signals import Thresholds
from node_agent.render.child import ChildOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSettings:
    """A card, where its agent keeps its files, and how its renderer runs."""

    card_id: str
    node_id: str
    hostname: str
    slot: int
    device: str
    spool: Path
    child: ChildOptions
    stall: StallLimits = field(default_factory=StallLimits)
    prefetch: int = 1
    """Clips held beside those in render, so that the card need not wait for the next."""
    thresholds: Thresholds = field(default_factory=Thresholds)
    """Which signals of quality mark a take."""
    inputs: Sequence[str] | None = None
    """Directories of this node that clips may start from files of; None is anywhere."""
    roots: Mapping[str, str] = field(default_factory=dict)
    """Shared storage by its name: where it is mounted here."""
    ca_file: str | None = None
    """Certificates that the object store's is checked against; None is the system's."""
    tags: tuple[str, ...] = ()
    """What clips may ask of it by name, beside the node file's tags."""
    node_file: Path | None = None
    """What the operator says of this machine's cards (`node_file`); None is nothing."""
    idle_unload_seconds: float = 0.0
    """A card that is paused and holds nothing frees its GPU after so long; 0 is at once."""
    supply: SupplySettings | None = None
    """How models come here and go on to neighbours; None is not at all."""
    log_file: Path | None = None
    """Where its agent logs, for whoever asks the farm; None is nowhere."""
    golden: Path | None = None
    """Folder of golden chunks that an examination compares with; None renders twice instead."""
    kept: Path | None = None
    """Folder for what it renders before it is brought to another release; None keeps nothing, so
    that the other one is examined by itself alone."""
    releases: Path | None = None
    """Folder of the releases that it can be brought to; None is none."""
    models: Path | None = None
    """Folder of the models that it can be brought to; None is none."""
    child_with: Callable[[Path], ChildOptions] | None = None
    """How its render child runs with the model of another directory; None is as with its own."""
