"""What a clip asks for: all that decides its pixels, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

BLEND_CHUNKS: Final = 3
"""Chunks over which a new prompt takes over, as Helios's authors do it."""


@dataclass(frozen=True, slots=True)
class PromptMark:
    """From chunk `chunk` on, the clip follows another prompt."""

    chunk: int
    prompt: str
    blend_chunks: int = BLEND_CHUNKS
    """Chunks over which it takes over; 1 is at once."""


@dataclass(frozen=True, slots=True)
class LoraUse:
    """A LoRA, by the name of its pinned directory, and how strongly it counts."""

    name: str
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class Fork:
    """From chunk `chunk` on, a clip's random numbers come from another seed."""

    chunk: int
    seed: int


@dataclass(frozen=True, slots=True)
class Origin:
    """What a clip was made from: an earlier version, or another clip of the farm."""

    kind: str
    """retake, extend, branch or reuse."""
    clip_id: str
    chunks: int = 0
    """Taken over from it, from the first on; all where its take is reused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipSpec:
    """Everything that decides a clip's pixels, together with the model and the stack."""

    prompt: str
    negative_prompt: str = ""
    frames: int
    height: int
    width: int
    fps: int
    seed: int
    steps: tuple[int, ...] = ()
    guidance_scale: float | None = None
    quality: str = "standard"
    mode: str = "text_to_video"
    image: str = ""
    """What the clip starts from: a path on the nodes, or `s3://BUCKET/KEY`."""
    video: str = ""
    """What the clip goes on from, in the same words; not together with `image`."""
    schedule: tuple[PromptMark, ...] = ()
    """Prompts that follow `prompt`, in order of their chunks, each chunk once, none for chunk 0."""
    loras: tuple[LoraUse, ...] = ()
    skip_first_chunk: bool = False
    amplify_first_chunk: bool | None = None
    """None is the model's default, as of the noises (lowest and highest sigma)."""
    image_noise: tuple[float, float] | None = None
    video_noise: tuple[float, float] | None = None
    fork: Fork | None = None
    """None goes by `seed` to its end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClip:
    """A row of a submission, checked and complete."""

    ordinal: int
    row: int
    name: str
    spec: ClipSpec
    columns: Mapping[str, str] = field(default_factory=dict)
    waits: bool = False
    """It depends on other clips of its batch (`Store.stage_dependencies` says on which)."""
    version: int = 1
    file_name: str = ""
    """What its files are called, without their endings; may have folders, apart by `/`."""
    digest: str = ""
    """Of all that decides its pixels beside model and stack; empty is not to be reused."""
    origin: Origin | None = None
    """None where it is rendered from nothing."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong with a submission, with what to do about it."""

    row: int
    """Row 1 is the header; 0 is the whole file."""
    column: str
    """The file's own name of the column; empty when it concerns the row."""
    what: str
    remedy: str
