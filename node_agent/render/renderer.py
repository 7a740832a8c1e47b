"""What the render child asks of a renderer: start a clip, render its next chunk.

A renderer owns a model (or none, like the test card) and keeps it over many clips. It knows
nothing of leases, uploads or files: chunks of frames go out, the state goes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

CHUNK_FRAMES = 33
"""Video frames of one chunk, Helios's unit: 9 latent frames, temporal compression 4."""

Frames = npt.NDArray[np.uint8]
"""Shape (frames, height, width, 3), RGB, 0..255."""

Latents = npt.NDArray[np.float32]
"""Shape (1, 16, 9, height / 8, width / 8): one chunk's denoised latents, normalised."""


class RenderCancelled(Exception):
    """The clip was cancelled while its chunk was in render; the chunk is lost, the state is not."""


class PromptError(Exception):
    """The clip itself cannot be rendered, on any card; the message says why."""


class CheckpointError(Exception):
    """A checkpoint does not fit its clip, or is incomplete; the clip can start again without it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderSpec:
    """Everything that decides a clip's pixels, together with the model and the stack."""

    clip_id: str
    name: str = ""
    """The user's own id for it: what a test card shows, the same in every batch."""
    prompt: str
    negative_prompt: str = ""
    frames: int
    """Frames asked for; the last chunk is rendered whole and trimmed to fit."""
    height: int
    width: int
    seed: int
    steps: tuple[int, ...] = ()
    """Denoising steps per pyramid stage ([2, 2, 2]) or in all ([50]); () is the model's default."""
    guidance_scale: float | None = None
    """None is the model's default: 1.0 for distilled variants, 5.0 for Base and Mid."""
    amplify_first_chunk: bool | None = None
    """Twice the steps in chunk 0; None is the model's default: yes for distilled variants."""

    @property
    def chunks(self) -> int:
        """Chunks needed to cover `frames`."""
        return -(-self.frames // CHUNK_FRAMES)


@dataclass(frozen=True, slots=True)
class Negative:
    """A chunk's denoised latents and the random state after it: what a resume needs."""

    latents: Latents
    generator_state: bytes


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a clip goes on: `chunk` is the next to render; negatives by chunk index.

    Holds the chunk before it and as many earlier ones as the history needs, and chunk 0 for the
    first-frame anchor (`needed_negatives`). A renderer without latents needs none.
    """

    chunk: int
    negatives: dict[int, Negative] = field(default_factory=dict)


def needed_negatives(chunk: int) -> tuple[int, ...]:
    """Chunks whose negatives a resume at `chunk` needs: the last three, and the anchor's.

    19 latent frames of history (16 long, 2 mid, 1 short) reach back over three chunks of nine.
    """
    return tuple(sorted({0, *range(max(0, chunk - 3), chunk)})) if chunk > 0 else ()


@dataclass(frozen=True, slots=True)
class RenderedChunk:
    """One chunk, whole: always `CHUNK_FRAMES` frames, trimmed by whoever encodes."""

    index: int
    frames: Frames
    negative: Negative | None
    seconds: float
    """Wall time of the chunk, decode included."""


class Clip(Protocol):
    """A clip in render. `step` renders the next chunk; the state moves on only when it returns."""

    @property
    def next_chunk(self) -> int:
        """Index of the chunk that `step` renders next."""
        ...

    def step(self, cancelled: Callable[[], bool]) -> RenderedChunk:
        """Render chunk `next_chunk`.

        `cancelled` is asked between denoising passes. Raises `RenderCancelled`, `PromptError`,
        or whatever the hardware throws.
        """
        ...


class Renderer(Protocol):
    """A model on a card."""

    name: str
    model_digest: str
    """SHA-256 of the model's manifest; "" for a renderer without a model."""
    stack_id: str
    """Versions, place and profile that decide the pixels, as `torch-2.13.0,cpu-avx2,exact`."""

    def prepare(self, specs: Sequence[RenderSpec]) -> None:
        """Encode the prompts of a shard ahead of time; may do nothing."""
        ...

    def start(self, spec: RenderSpec, checkpoint: Checkpoint | None = None) -> Clip:
        """Begin a clip, or go on from a checkpoint. Raises `PromptError`, `CheckpointError`."""
        ...
