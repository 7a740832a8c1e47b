"""The sidecar: a take's JSON, with everything that is known of how it came to be.

`docs/sidecar.schema.json` is its contract with those who read it. The JSON is canonical: keys in
order, UTF-8, one way to write each value, so equal sidecars are equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from node_agent.quality.signals import Signals

FORMAT_VERSION = 1
"""Raised when a reader of the version before would misread."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRecord:
    """How one chunk of the take was made."""

    chunk: int
    frames: int
    """Frames of it in the take."""
    render_seconds: float
    card_id: str
    attempt: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """A take's provenance. Fields that are None are left out: not known, or not measured."""

    project: str
    batch_id: str
    batch_name: str
    clip_id: str
    clip_name: str
    version: int
    row: int
    """The clip's row in the submitted file; row 1 is its header."""
    columns: Mapping[str, str]
    """The batch's own columns, as given."""
    prompt: str
    negative_prompt: str
    seed: int
    frames: int
    width: int
    height: int
    fps: int
    steps: tuple[int, ...]
    """Empty: the model's default."""
    guidance_scale: float | None = None
    """None: the model's default."""
    quality: str
    mode: str
    renderer: str
    model_digest: str
    """Empty for a renderer without a model."""
    stack_id: str
    card_id: str
    """The card that finished the take; `chunks` names those that helped."""
    attempts: int
    """The attempt that finished: how many there were."""
    chunks: tuple[ChunkRecord, ...]
    take_sha256: str
    take_size_bytes: int
    signals: Signals
    """What its pixels tell of its quality."""
    marks: tuple[str, ...]
    """Names of the signals that lie beyond the farm's thresholds."""
    energy_joules: float | None = None
    """None where the card cannot measure it."""


def sidecar_bytes(sidecar: Sidecar) -> bytes:
    """The sidecar's file. Raises ValueError for numbers that JSON does not have."""
    content: dict[str, Any] = asdict(sidecar)
    content["signals"] = sidecar.signals.known
    content["format_version"] = FORMAT_VERSION
    content["prompt_sha256"] = hashlib.sha256(sidecar.prompt.encode()).hexdigest()
    known = {name: value for name, value in content.items() if value is not None}
    text = json.dumps(known, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True)
    return text.encode() + b"\n"
