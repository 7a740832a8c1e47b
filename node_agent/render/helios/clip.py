"""The chunk loop: a clip in render, and its resume from a checkpoint."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor

from node_agent.render.helios.decode import decode
from node_agent.render.helios.guidance import Velocity
from node_agent.render.helios.history import CHUNK_LATENT_FRAMES, History, LatentShape
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.noise import ClipNoise
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.recipe import recipe_for
from node_agent.render.helios.stages import denoise_flat, denoise_pyramid
from node_agent.render.memory import release_free_memory
from node_agent.render.renderer import (
    Checkpoint,
    CheckpointError,
    Negative,
    RenderCancelled,
    RenderedChunk,
    RenderSpec,
)


class HeliosClip:
    """A clip in render. Its state is a history, a random stream and a number: nothing grows."""

    def __init__(
        self,
        model: HeliosModel,
        prompts: PromptEncoder,
        spec: RenderSpec,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._model = model
        self._recipe = recipe_for(spec, model.info)
        self._shape = _latent_shape(model, spec)
        self._prompt = prompts.encode(spec.prompt)
        guided = self._recipe.guided
        self._negative_prompt = prompts.encode(spec.negative_prompt) if guided else None
        if checkpoint is None or checkpoint.chunk == 0:
            self._history = History.empty(self._shape, model.device)
            self._noise = ClipNoise(spec.seed)
        else:
            self._history = History.from_checkpoint(checkpoint, self._shape, model.device)
            self._noise = _resumed_noise(checkpoint)

    @property
    def next_chunk(self) -> int:
        """Index of the chunk that `step` renders next."""
        return self._history.chunks

    @torch.inference_mode()
    def step(self, cancelled: Callable[[], bool]) -> RenderedChunk:
        """Render the next chunk, whole. The state moves on only when this returns.

        Raises `RenderCancelled`; the same step can then be taken again.
        """
        started = time.perf_counter()
        noise = self._noise.fork()
        latents = self._denoise(noise, cancelled)
        if cancelled():
            raise RenderCancelled
        chunk = RenderedChunk(
            index=self.next_chunk,
            frames=decode(self._model, latents),
            negative=Negative(latents.float().contiguous().cpu().numpy(), noise.state),
            seconds=time.perf_counter() - started,
        )
        self._noise, self._history = noise, self._history.extended(latents)
        release_free_memory()
        return chunk

    def _denoise(self, noise: ClipNoise, cancelled: Callable[[], bool]) -> Tensor:
        velocity = Velocity(
            transformer=self._model.transformer,
            history=self._history.inputs(self._model.transformer.dtype),
            prompt=self._prompt,
            negative_prompt=self._negative_prompt,
            guidance_scale=self._recipe.guidance_scale,
            zero_star=self._model.info.variant == "mid",
            cancelled=cancelled,
        )
        steps = self._recipe.steps
        if not self._model.pyramid:
            return denoise_flat(self._model, velocity, noise, self._shape, steps[0])
        amplify = self._recipe.amplify_first_chunk and self.next_chunk == 0
        return denoise_pyramid(self._model, velocity, noise, self._shape, steps, amplify=amplify)


def _latent_shape(model: HeliosModel, spec: RenderSpec) -> LatentShape:
    scale = model.vae.config.scale_factor_spatial
    channels = model.transformer.config.in_channels
    return (1, channels, CHUNK_LATENT_FRAMES, spec.height // scale, spec.width // scale)


def _resumed_noise(checkpoint: Checkpoint) -> ClipNoise:
    """The random stream after the chunk before; `History` has made sure that it is there."""
    last = checkpoint.chunk - 1
    try:
        return ClipNoise.from_state(checkpoint.negatives[last].generator_state)
    except (RuntimeError, ValueError) as error:
        raise CheckpointError(f"negative of chunk {last}: broken generator state") from error
