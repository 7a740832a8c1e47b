"""A Helios model on a device, serving clip after clip."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import torch

from node_agent.models import ModelInfo
from node_agent.render.helios.clip import HeliosClip
from node_agent.render.helios.model import load_model
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.renderer import Checkpoint, PromptError, RenderSpec


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
    ) -> None:
        """Verify and load the model in `directory`. Raises `ModelError`.

        `threads` of the CPU are used by this process, None leaves torch's own setting; sums differ
        in the last bit with their number, so it is part of the stack id. `stamps` is a file that
        remembers the hashes of the model between starts.
        """
        if threads is not None:
            torch.set_num_threads(threads)
        self._model = load_model(directory, torch.device(device), stamps=stamps)
        self._prompts = PromptEncoder(self._model)
        self.model_digest = self._model.manifest.digest
        self.stack_id = stack_id(self._model.device)

    @property
    def info(self) -> ModelInfo:
        """The model's shape and defaults."""
        return self._model.info

    def prepare(self, specs: Sequence[RenderSpec]) -> None:
        """Encode a shard's prompts ahead of time. A bad one is reported when its clip starts."""
        for spec in specs:
            with suppress(PromptError):
                self._prompts.encode(spec.prompt)

    def start(self, spec: RenderSpec, checkpoint: Checkpoint | None = None) -> HeliosClip:
        """Begin a clip, or go on from a checkpoint.

        Raises `PromptError` if no card can render it, `CheckpointError` if it cannot go on.
        """
        return HeliosClip(self._model, self._prompts, spec, checkpoint)


def stack_id(device: torch.device) -> str:
    """Everything outside the model that decides a pixel's last bit; equal ids, equal pictures."""
    packages = [
        f"{name}-{version(name).partition('+')[0]}"
        for name in ("torch", "diffusers", "transformers")
    ]
    if device.type == "cpu":
        place = f"cpu-{platform.machine()}-{torch.backends.cpu.get_cpu_capability().lower()}"
    else:
        name = torch.cuda.get_device_name(device).replace(" ", "-").lower()
        place = f"cuda-{torch.version.cuda}-{name}"
    return ",".join([*packages, place, f"threads-{torch.get_num_threads()}", "exact"])
