"""What a clip asks for: all that decides its pixels, and what can be wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


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


@dataclass(frozen=True, slots=True, kw_only=True)
class NewClip:
    """A row of a submission, checked and complete."""

    ordinal: int
    row: int
    name: str
    spec: ClipSpec
    columns: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """Something wrong with a submission, with what to do about it."""

    row: int
    """Row 1 is the header; 0 is the whole file."""
    column: str
    """The file's own name of the column; empty when it concerns the row."""
    what: str
    remedy: str
