"""A clip in render: its state between two chunks, and how a checkpoint brings it back."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from pathlib import Path

from PIL.Image import Image
from torch import Tensor

from node_agent.render.helios.cross_attention import PromptKeys
from node_agent.render.helios.history import CHUNK_LATENT_FRAMES, History, LatentShape
from node_agent.render.helios.inputs import Footage, read_footage, read_picture
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.noise import ClipNoise
from node_agent.render.helios.prompt_track import PromptTrack
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.recipe import recipe_for
from node_agent.render.helios.start import from_image, from_video
from node_agent.render.profiles import Profile
from node_agent.render.renderer import (
    BLEND_CHUNKS,
    Checkpoint,
    CheckpointError,
    Negative,
    PromptMark,
    RenderSpec,
)


class HeliosClip:
    """A history, a random stream, a prompt and a number: nothing grows."""

    def __init__(
        self,
        model: HeliosModel,
        prompts: PromptEncoder,
        spec: RenderSpec,
        checkpoint: Checkpoint | None,
        profile: Profile | None = None,
    ) -> None:
        """A clip that is rendered with `profile`, by default what the model has loaded.

        Raises `PromptError` if no card can render it, `CheckpointError` if it cannot go on.
        """
        self.spec = spec
        self.model = model
        self.profile = profile or model.profile
        on_gpu = model.device.type == "cuda"
        self.recipe = recipe_for(
            spec, model.info, on_gpu=on_gpu, profile=self.profile, tight=model.tight
        )
        self.shape = _latent_shape(model, spec)
        resumed = checkpoint is not None and checkpoint.chunk > 0
        steered = _last_negative(checkpoint).steered if checkpoint and resumed else ()
        # What cannot be is said before anything is computed: inputs and LoRAs come first.
        model.digest(spec.loras)
        material = None if resumed else _material(spec)
        self._prompts = prompts
        self._track = PromptTrack(model, prompts, spec, steered)
        self._negative_prompt: PromptKeys | None = None
        prompts.prepare(self.texts)
        if checkpoint is not None and resumed:
            self.noise = _resumed_noise(checkpoint, spec)
            self.history = History.from_checkpoint(
                checkpoint, self.shape, model.device, skip_first_chunk=spec.skip_first_chunk
            )
        else:
            self.noise = ClipNoise(spec.seed)
            self.history = self._beginning(material)
        self._before = self.history if self.history.chunks == 0 else None

    @property
    def next_chunk(self) -> int:
        """Index of the chunk that is rendered next."""
        return self.history.chunks

    @property
    def amplified(self) -> bool:
        """Whether the next chunk takes twice the steps."""
        return self.recipe.amplify_first_chunk and self.next_chunk == 0

    @property
    def lane_group(self) -> Hashable:
        """Size, steps and guidance of the next chunk's passes, and the weights that serve them."""
        recipe, weights = self.recipe, (self.spec.loras, self.profile)
        return self.shape, recipe.steps, recipe.guidance_scale, self.amplified, weights

    @property
    def prompt(self) -> PromptKeys:
        """What the next chunk looks at."""
        return self._track.keys(self.next_chunk)

    @property
    def negative_prompt(self) -> PromptKeys:
        """What a guided clip's second pass looks at."""
        if self._negative_prompt is None:
            self._negative_prompt = self._prompts.keys(self.spec.negative_prompt)
        return self._negative_prompt

    @property
    def texts(self) -> list[str]:
        """All prompts that it has to do with, the negative one only where it takes part."""
        negative = [self.spec.negative_prompt] if self.recipe.guided else []
        return [*self._track.texts, *negative]

    def steer(self, prompt: str, blend_chunks: int = BLEND_CHUNKS) -> None:
        """Follow another prompt from the next chunk on. Raises `PromptError`."""
        mark = PromptMark(chunk=self.next_chunk, prompt=prompt, blend_chunks=blend_chunks)
        self._track.steer(mark)

    def negative_of(self, noise: ClipNoise) -> Callable[[Tensor], Negative]:
        """What makes the negative of the next chunk, once its latents are on the CPU.

        Whatever has become of the clip by then. All arrays are copies.
        """
        before, given = self._before, {}
        if before is not None and before.anchor is not None:
            filled = before.frames.flatten(3).any(dim=3)[0].any(dim=0)
            start = int(filled.float().argmax())
            given = {
                "anchor": before.anchor.cpu().numpy().copy(),
                "before": before.frames[:, :, start:].cpu().numpy().copy(),
            }
        state, steered, profile = noise.state, self._track.steered, self.profile.name

        def made(latents: Tensor) -> Negative:
            array = latents.numpy().copy()
            return Negative(array, state, **given, steered=steered, profile=profile)

        return made

    def move_on(self, latents: Tensor, noise: ClipNoise) -> None:
        """The next chunk is rendered: latents and random stream become the state."""
        skip = self.spec.skip_first_chunk
        self.history = self.history.extended(latents, skip_first_chunk=skip)
        fork = self.spec.fork
        forks = fork is not None and fork.chunk == self.next_chunk
        self.noise, self._before = ClipNoise(fork.seed) if fork and forks else noise, None

    def _beginning(self, material: Image | Footage | None) -> History:
        if isinstance(material, Image):
            return from_image(self.model, material, self.spec, self.shape, self.noise)
        if isinstance(material, Footage):
            return from_video(self.model, material, self.spec, self.shape, self.noise)
        return History.beginning(self.shape, self.model.device)


def _material(spec: RenderSpec) -> Image | Footage | None:
    """What the clip starts from, decoded. Raises `InputError`."""
    if spec.image:
        return read_picture(Path(spec.image), spec.width, spec.height)
    if spec.video:
        return read_footage(Path(spec.video), spec.width, spec.height)
    return None


def _latent_shape(model: HeliosModel, spec: RenderSpec) -> LatentShape:
    scale = model.vae.config.scale_factor_spatial
    channels = model.transformer.config.in_channels
    return (1, channels, CHUNK_LATENT_FRAMES, spec.height // scale, spec.width // scale)


def _last_negative(checkpoint: Checkpoint) -> Negative:
    last = checkpoint.chunk - 1
    try:
        return checkpoint.negatives[last]
    except KeyError:
        raise CheckpointError(
            f"resume at chunk {checkpoint.chunk} lacks the negative of chunk {last}"
        ) from None


def _resumed_noise(checkpoint: Checkpoint, spec: RenderSpec) -> ClipNoise:
    """The random stream after the chunk before, or the one of a fork that begins here."""
    if spec.fork is not None and spec.fork.chunk == checkpoint.chunk:
        return ClipNoise(spec.fork.seed)
    try:
        return ClipNoise.from_state(_last_negative(checkpoint).generator_state)
    except (RuntimeError, ValueError) as error:
        last = checkpoint.chunk - 1
        raise CheckpointError(f"negative of chunk {last}: broken generator state") from error
