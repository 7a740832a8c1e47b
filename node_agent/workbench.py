"""What every attempt of a card works with, and what the card has done so far."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heliostat.traces import NoSpans, Spans
from node_agent.engine import Engine
from node_agent.outbox import Outbox
from node_agent.quality.signals import Thresholds
from node_agent.upload import ObjectTransfer


@dataclass(slots=True)
class Counters:
    """What a card has done since its agent started."""

    frames_rendered: int = 0
    chunks_rendered: int = 0
    clips_delivered: int = 0
    render_seconds: float = 0.0
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    passes: float = 0.0
    """A chunk that was rendered beside others adds its share of theirs."""
    pass_seconds: float = 0.0
    encode_seconds: float = 0.0
    bytes_uploaded: int = 0
    upload_seconds: float = 0.0
    upload_retries: int = 0


@dataclass(frozen=True, slots=True)
class Workbench:
    """A card's tools."""

    card_id: str
    engine: Engine
    outbox: Outbox
    transfer: ObjectTransfer
    counters: Counters
    spool: Path
    thresholds: Thresholds
    """Which signals mark a take."""
    inputs: Sequence[str] | None = None
    """Directories that clips may start from files of; None is anywhere."""
    roots: Mapping[str, str] = field(default_factory=dict)
    """Shared storage by its name: where it is mounted here."""
    spans: Spans = field(default_factory=NoSpans)
    """Where spans of what is done for clips go."""
