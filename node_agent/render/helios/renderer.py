"""A Helios model on a device, serving clip after clip."""

from __future__ import annotations

import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import cast

import torch

from node_agent.models import ModelInfo
from node_agent.render.helios.clip import HeliosClip
from node_agent.render.helios.decode import decode
from node_agent.render.helios.device import device_named
from node_agent.render.helios.lanes import render_chunks
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.recipe import recipe_for
from node_agent.render.profiles import PROFILES, choose
from node_agent.render.renderer import (
    Checkpoint,
    Clip,
    Frames,
    Negative,
    PendingChunk,
    PromptError,
    RenderCancelled,
    RenderedChunk,
    RenderSpec,
)


class SoloClip(HeliosClip):
    """A clip that can also be rendered by itself."""

    def step(self, cancelled: Callable[[], bool]) -> RenderedChunk:
        """Render the next chunk, alone. Raises `RenderCancelled`; it can then be taken again."""
        [chunk] = render_chunks(self.model, [self], lambda _clip: cancelled())
        if chunk is None:
            raise RenderCancelled
        return chunk.wait()


class HeliosRenderer:
    """Implements `node_agent.render.renderer.Renderer`."""

    name = "helios"

    def __init__(
        self,
        directory: Path,
        *,
        device: str = "cpu",
        threads: int | None = None,
        stamps: Path | None = None,
        embeddings: Path | None = None,
        loras: Path | None = None,
        streamed: bool = False,
        vram_bytes: int | None = None,
        ram_bytes: int | None = None,
        pageable: bool = False,
        compiled: bool | None = None,
        profile: str | None = None,
    ) -> None:
        """Verify and load the model in `directory`. Raises `ModelError`.

        `threads` of the CPU are used by this process, None leaves torch's own setting; sums differ
        in the last bit with their number, so it is part of the stack id. `stamps` is a file that
        remembers the hashes of the model between starts, `embeddings` a folder that keeps encoded
        prompts, `loras` a directory of pinned LoRAs. The last five say where the transformer's
        weights may live and how they are run: see `HeliosModel`.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self._model = HeliosModel(
            directory,
            device_named(device),
            stamps=stamps,
            loras=loras,
            streamed=streamed,
            vram_bytes=vram_bytes,
            ram_bytes=ram_bytes,
            pageable=pageable,
            compiled=compiled,
            profile=None if profile is None else PROFILES[profile],
        )
        self._prompts = PromptEncoder(self._model, embeddings)
        self.model_digest = self._model.manifest.digest
        self.model_name = self._model.manifest.name
        self.stack_id = stack_id(self._model.device, self._model.stack_words)
        self.profiles = self._model.profiles
        self.placement = self._model.placement.name
        self.clock = self._model.clock

    @property
    def info(self) -> ModelInfo:
        """The model's shape and defaults."""
        return self._model.info

    def expect(self, specs: Sequence[RenderSpec]) -> None:
        """See `Renderer.expect`. A bad prompt is reported when its clip starts."""
        texts: list[str] = []
        for spec in specs:
            with suppress(PromptError):
                negative = [spec.negative_prompt] if recipe_for(spec, self.info).guided else []
                own = [spec.prompt, *(mark.prompt for mark in spec.schedule), *negative]
                for text in own:
                    self._prompts.check(text)
                texts += own
        self._prompts.expect(texts)

    def start(self, spec: RenderSpec, checkpoint: Checkpoint | None = None) -> SoloClip:
        """Begin a clip, or go on from a checkpoint.

        Raises `PromptError` if no card can render it, `CheckpointError` if it cannot go on,
        `ProfileError` if this card cannot.
        """
        begun = checkpoint.profile if checkpoint else ""
        name = choose(spec.quality, self.profiles, pinned=spec.profile, begun=begun)
        return SoloClip(self._model, self._prompts, spec, checkpoint, PROFILES[name])

    def step(
        self, lanes: Sequence[Clip], cancelled: Callable[[Clip], bool]
    ) -> list[PendingChunk | None]:
        """See `Renderer.step`."""
        return render_chunks(self._model, cast("Sequence[HeliosClip]", lanes), cancelled)

    @torch.inference_mode()
    def decode(self, negative: Negative, spec: RenderSpec) -> Frames:
        """See `Renderer.decode`."""
        on_gpu = self._model.device.type == "cuda"
        latents = torch.from_numpy(negative.latents.copy()).to(self._model.device)
        recipe = recipe_for(spec, self.info, on_gpu=on_gpu, tight=self._model.tight)
        with self.clock.working():
            return decode(self._model, latents, recipe.vae)

    def digest(self, spec: RenderSpec) -> str:
        """See `Renderer.digest`. Raises `PromptError` for a LoRA that is not there."""
        return self._model.digest(spec.loras)

    def embeddings(self, clip: Clip) -> bytes:
        """The prompts of a clip, encoded, as a file: with it no card needs the text encoder."""
        return self._prompts.file_of(cast("HeliosClip", clip).texts)

    def take_over(self, embeddings: Path) -> None:
        """Know the prompts of such a file. Raises `CheckpointError`."""
        self._prompts.take_over(embeddings)


def stack_id(device: torch.device, fusion: Sequence[str] = ()) -> str:
    """What decides a pixel's last bit beside model and profile: equal ids, equal pictures.

    `fusion` is `fusion.stack_words`.
    """
    packages = [
        f"{name}-{version(name).partition('+')[0]}"
        for name in ("torch", "diffusers", "transformers")
    ]
    if device.type == "cpu":
        place = f"cpu-{platform.machine()}-{torch.backends.cpu.get_cpu_capability().lower()}"
    else:
        name = torch.cuda.get_device_name(device).replace(" ", "-").lower()
        place = f"cuda-{torch.version.cuda}-{name}"
    return ",".join([*packages, place, f"threads-{torch.get_num_threads()}", *fusion])
