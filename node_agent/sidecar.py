"""The sidecar: a take's JSON, with everything that is known of how it came to be.

`docs/sidecar.schema.json` is its contract with those who read it. The JSON is canonical: keys in
order, UTF-8, one way to write each value, so equal sidecars are equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from node_agent.quality.signals import Signals
from node_agent.render.renderer import Fork, LoraUse, PromptMark

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
    energy_joules: float | None = None
    """None where the card could not measure it."""
    lanes: int = 1
    """Clips that were rendered in lockstep with it, itself included."""
    steered: tuple[PromptMark, ...] = ()
    """Changes of prompt that came while the clip rendered, up to and with this chunk."""
    profile: str | None = None
    """How its card ran the model for it; None where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord:
    """A picture or video that the clip started from."""

    name: str
    """The last part of its path or key."""
    sha256: str | None = None
    """None where only the take was left to make: the file was not looked at again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OriginRecord:
    """What the clip was made from."""

    kind: str
    """retake, extend or branch."""
    clip_id: str
    chunks: int
    """Taken over from it, from the first on."""


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
    image: InputRecord | None = None
    """None for a clip that starts from no image; `video` likewise."""
    video: InputRecord | None = None
    schedule: tuple[PromptMark, ...] = ()
    """Prompts that follow `prompt`, as asked for."""
    loras: tuple[LoraUse, ...] = ()
    skip_first_chunk: bool = False
    amplify_first_chunk: bool | None = None
    """None: the model's default, as of the noises (lowest and highest sigma)."""
    image_noise: tuple[float, float] | None = None
    video_noise: tuple[float, float] | None = None
    fork: Fork | None = None
    """None: it goes by `seed` to its end."""
    origin: OriginRecord | None = None
    """None: it was rendered from nothing."""
    recipe: Mapping[str, Any] | None = None
    """What quality and parameters meant for the model (`helios.recipe.Recipe`); None without."""
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
    content: dict[str, Any] = known(asdict(sidecar))
    content["format_version"] = FORMAT_VERSION
    content["prompt_sha256"] = hashlib.sha256(sidecar.prompt.encode()).hexdigest()
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, indent=2, sort_keys=True)
    return text.encode() + b"\n"


def energy_of(chunks: Sequence[ChunkRecord]) -> float | None:
    """Joules of all chunks together; None unless each was measured."""
    known = [chunk.energy_joules for chunk in chunks if chunk.energy_joules is not None]
    return sum(known) if len(known) == len(chunks) else None


def known(value: Any) -> Any:
    """A value without its fields that are None, at any depth; tuples become lists."""
    if isinstance(value, dict):
        return {name: known(each) for name, each in value.items() if each is not None}
    return [known(each) for each in value] if isinstance(value, list | tuple) else value
