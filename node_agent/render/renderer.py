"""What the render child asks of a renderer: start a clip, render its next chunk.

A renderer owns a model (or none, like the test card) and keeps it over many clips. It knows
nothing of leases, uploads or files: chunks of frames go out, the state goes with them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

from node_agent.render.work_clock import WorkClock

if TYPE_CHECKING:  # commands that only ask for a clip need no numpy
    import numpy as np
    import numpy.typing as npt

CHUNK_FRAMES = 33
"""Video frames of one chunk, Helios's unit: 9 latent frames, temporal compression 4."""

Frames: TypeAlias = "npt.NDArray[np.uint8]"
"""Shape (frames, height, width, 3), RGB, 0..255."""

Latents: TypeAlias = "npt.NDArray[np.float32]"
"""Shape (1, 16, 9, height / 8, width / 8): one chunk's denoised latents, normalised."""


class RenderCancelled(Exception):
    """The clip was cancelled while its chunk was in render; the chunk is lost, the state is not."""


class PromptError(Exception):
    """The clip itself cannot be rendered, on any card; the message says why."""


class CheckpointError(Exception):
    """A checkpoint does not fit its clip, or is incomplete; the clip can start again without it."""


QUALITIES = ("draft", "standard", "exact")
"""What a user asks for; `helios.recipe` says what each means for a variant."""

BLEND_CHUNKS = 3
"""Chunks over which a new prompt takes over, as Helios's authors do it."""

NOISE_SIGMAS = (0.111, 0.135)
"""How much noise an image or video gets before clips grow from it (lowest, highest): the model's
authors recommend it against static starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptMark:
    """From chunk `chunk` on, the clip follows another prompt."""

    chunk: int
    """0 or more; 0 replaces the clip's own prompt."""
    prompt: str
    blend_chunks: int = BLEND_CHUNKS
    """Chunks of the blend from the prompt before, of weights 0, 1/(n-1) .. 1; none below 2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fork:
    """From a chunk on, a clip's random numbers come from another seed."""

    chunk: int
    seed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraUse:
    """A LoRA, by the name of its pinned directory, and how strongly it counts."""

    name: str
    scale: float = 1.0


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
    quality: str = "standard"
    """One of `QUALITIES`: steps and precision where the spec does not name them itself."""
    schedule: tuple[PromptMark, ...] = ()
    """Prompts that follow `prompt`, in order of their chunks, each chunk once."""
    image: str = ""
    """File of the picture that the clip starts from; not together with `video`."""
    video: str = ""
    """File of the video that the clip goes on from; at least `CHUNK_FRAMES` frames."""
    image_noise: tuple[float, float] = NOISE_SIGMAS
    video_noise: tuple[float, float] = NOISE_SIGMAS
    """Of a video's latents, and of the short history made up for an image."""
    skip_first_chunk: bool = False
    """The anchor is the first frame of chunk 1, not of what came before it."""
    loras: tuple[LoraUse, ...] = ()
    profile: str = ""
    """One of `profiles.PROFILES`; "" leaves the choice to quality, card and host."""
    vae: str = ""
    """One of `helios.recipe.VAES`; "" leaves the choice to quality, card and model."""
    fork: Fork | None = None
    """None goes by `seed` to its end."""

    @property
    def chunks(self) -> int:
        """Chunks needed to cover `frames`."""
        return -(-self.frames // CHUNK_FRAMES)


@dataclass(frozen=True, slots=True)
class Negative:
    """A chunk's denoised latents and the random state after it: what a resume needs."""

    latents: Latents
    generator_state: bytes
    anchor: Latents | None = None
    """Of chunk 0 alone: the anchor that it was given, (1, 16, 1, height / 8, width / 8); None
    where there was none, and its own first frame became the anchor."""
    before: Latents | None = None
    """Of chunk 0 alone: the latent frames (up to 19) that an image or video put before it."""
    steered: tuple[PromptMark, ...] = ()
    """Changes of prompt while the clip rendered, up to and with this chunk."""
    profile: str = ""
    """What it was rendered with, where that is known."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Where a clip goes on: `chunk` is the next to render; negatives by chunk index.

    Holds the chunk before it and as many earlier ones as the history needs, and chunk 0 for the
    first-frame anchor (`needed_negatives`). A renderer without latents needs none.
    """

    chunk: int
    negatives: dict[int, Negative] = field(default_factory=dict)
    steered: tuple[PromptMark, ...] = ()
    """Changes of prompt while the clip rendered up to here, for a renderer without latents; others
    have them in their negatives."""

    @property
    def profile(self) -> str:
        """What the chunk before was rendered with; "" where that is not known."""
        last = self.negatives.get(self.chunk - 1)
        return last.profile if last else ""


def needed_negatives(chunk: int, *, skip_first_chunk: bool = False) -> tuple[int, ...]:
    """Chunks whose negatives a resume at `chunk` needs: the last three, and the anchor's.

    19 latent frames of history (16 long, 2 mid, 1 short) reach back over three chunks of nine.
    The anchor is chunk 0's affair, and also chunk 1's in a clip with `skip_first_chunk`.
    """
    anchors = {0, 1} if skip_first_chunk and chunk > 1 else {0}
    return tuple(sorted({*anchors, *range(max(0, chunk - 3), chunk)})) if chunk > 0 else ()


@dataclass(frozen=True, slots=True)
class RenderedChunk:
    """One chunk, whole: always `CHUNK_FRAMES` frames, trimmed by whoever encodes."""

    index: int
    frames: Frames
    negative: Negative | None
    seconds: float
    """What the card took for it, decode included; of a chunk rendered beside others, its share."""
    lanes: int = 1
    """Clips that were rendered in lockstep with it, itself included."""
    profile: str = "exact"
    """What it was rendered with."""
    vae: str = ""
    """What decoded it, one of `helios.recipe.VAES`; "" where that is not known."""
    busy_seconds: float = 0.0
    idle_seconds: float = 0.0
    passes: float = 0.0
    pass_seconds: float = 0.0
    """Its share of what `work_clock.Worked` calls so."""
    steered: tuple[PromptMark, ...] = ()
    """As of `Negative`, of a chunk that has none."""


@dataclass(frozen=True, slots=True)
class PendingChunk:
    """A chunk that is asked for: a GPU may still be at work on it while the next is prepared."""

    index: int
    wait: Callable[[], RenderedChunk]
    """The chunk, once it is whole, for any thread. Raises whatever the hardware throws."""

    @classmethod
    def whole(cls, chunk: RenderedChunk) -> PendingChunk:
        """A chunk that nobody has to wait for."""
        return cls(chunk.index, lambda: chunk)


class Clip(Protocol):
    """A clip in render: its state between two chunks."""

    @property
    def spec(self) -> RenderSpec:
        """What was asked for."""
        ...

    @property
    def next_chunk(self) -> int:
        """Index of the chunk that is rendered next."""
        ...

    @property
    def lane_group(self) -> Hashable:
        """Clips whose next chunks may be rendered in lockstep have equal groups."""
        ...

    def steer(self, prompt: str, blend_chunks: int = BLEND_CHUNKS) -> None:
        """Follow another prompt from the next chunk on. Raises `PromptError`."""
        ...


class Renderer(Protocol):
    """A model on a card."""

    name: str
    model_digest: str
    """SHA-256 of the model's manifest; "" for a renderer without a model."""
    stack_id: str
    """Versions and place that decide the pixels beside the profile, as `torch-2.13.0,cpu-avx2`."""
    profiles: tuple[str, ...]
    """What it can render with (`profiles.PROFILES`); the first is what it has loaded."""
    model_name: str
    """The manifest's; "" for a renderer without a model."""
    placement: str
    """Where the weights are: `resident` on the card, `partly streamed` from the host or `streamed`;
    "" for a renderer without weights."""
    clock: WorkClock
    """How long the card is at work; who steps it starts the clock when clips come."""

    def expect(self, specs: Sequence[RenderSpec]) -> None:
        """Clips that will come: their prompts are encoded together with the next clip's."""
        ...

    def digest(self, spec: RenderSpec) -> str:
        """The model's digest, with the LoRAs of a clip: what its negatives are bound to."""
        ...

    def take_over(self, embeddings: Path) -> None:
        """Know the prompts that another attempt has encoded. Raises `CheckpointError`."""
        ...

    def embeddings(self, clip: Clip) -> bytes | None:
        """A clip's encoded prompts as a file for `take_over`; None where there are none."""
        ...

    def start(self, spec: RenderSpec, checkpoint: Checkpoint | None = None) -> Clip:
        """Begin a clip, or go on from a checkpoint.

        Raises `PromptError`, `CheckpointError`, `ProfileError`.
        """
        ...

    def step(
        self, lanes: Sequence[Clip], cancelled: Callable[[Clip], bool]
    ) -> list[PendingChunk | None]:
        """Render the next chunk of each lane, in lockstep; all of one `lane_group`.

        `cancelled` is asked for each lane between denoising passes: a lane that is gets None and
        keeps its state, the others go on. Raises whatever the hardware throws; no state has moved.
        What it throws later is raised by `PendingChunk.wait`, when states have moved.
        """
        ...

    def decode(self, negative: Negative, spec: RenderSpec) -> Frames:
        """The frames of a chunk of this clip that was rendered before, the same ones."""
        ...
