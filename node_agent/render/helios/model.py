"""A Helios model in memory, loaded part by part from a verified directory."""

from __future__ import annotations

import gc
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    HeliosDMDScheduler,
    HeliosScheduler,
    HeliosTransformer3DModel,
)
from diffusers.utils import logging as diffusers_logging
from torch import Tensor
from transformers import T5TokenizerFast
from transformers.utils import logging as transformers_logging

from node_agent.models import ModelInfo, describe, load_verified
from node_agent.render.helios.cross_attention import PromptProjections
from node_agent.render.helios.loras import LoraFolder
from node_agent.render.helios.placement import Placement, choose, offload, room, weight_bytes
from node_agent.render.helios.text_encoder import TextEncoder
from node_agent.render.helios.transformer import lean
from node_agent.render.memory import release_free_memory
from node_agent.render.renderer import LoraUse, PromptError

logger = logging.getLogger(__name__)

_LOCAL = {"local_files_only": True, "use_safetensors": True}


class HeliosModel:
    """The parts of a Helios model, on one device. The text encoder is there only while it works."""

    transformer: Any
    """A `LeanTransformer`."""
    projections: PromptProjections

    def __init__(
        self,
        directory: Path,
        device: torch.device,
        *,
        dtype: torch.dtype | None = None,
        stamps: Path | None = None,
        loras: Path | None = None,
    ) -> None:
        """Verify and load. Raises `ModelError` when files do not match the manifest, or do not fit.

        `dtype` is by default bfloat16 on a GPU and float32 on a CPU, whose bfloat16 arithmetic is
        many times slower; what the model itself keeps in float32 stays so. `stamps` is a file that
        remembers the hashes of the model between starts, `loras` a directory of pinned LoRAs.
        """
        self.manifest = load_verified(directory, stamps=stamps)
        self.info: ModelInfo = describe(directory)
        self.device = device
        self.dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
        self._directory = directory
        hide_progress_bars()
        tokenizer = directory / "tokenizer"
        self.tokenizer = T5TokenizerFast.from_pretrained(tokenizer, local_files_only=True)
        schedule = HeliosDMDScheduler if self.distilled else HeliosScheduler
        self.schedule = schedule.from_pretrained(
            directory, subfolder="scheduler", local_files_only=True
        )
        """HeliosDMDScheduler (Distilled) or HeliosScheduler (Base, Mid); set anew in each stage."""
        vae = AutoencoderKLWan.from_pretrained(
            directory, subfolder="vae", dtype=torch.float32, **_LOCAL
        )
        self.vae = vae.to(device).eval().requires_grad_(False)
        """AutoencoderKLWan in float32, which encodes images and videos and decodes exactly."""
        self._quick_vae: Any = None
        self._lora_folder = LoraFolder(loras, stamps)
        self.loras: tuple[LoraUse, ...] = ()
        """What is fused into the transformer now."""
        self._load_transformer()

    @property
    def distilled(self) -> bool:
        """Whether the schedule predicts clean latents and noises them again."""
        return self.info.variant == "distilled"

    @property
    def pyramid(self) -> bool:
        """Whether a chunk is denoised over stages of growing size."""
        return self.info.variant != "base"

    @property
    def latent_scale(self) -> tuple[Tensor, Tensor]:
        """Mean and reciprocal deviation of the VAE's latents, (1, channels, 1, 1, 1), float32.

        Dividing by the reciprocal is not multiplying by the deviation, to the last bit.
        """
        config = self.vae.config
        mean, deviation = (
            torch.tensor(values).view(1, config.z_dim, 1, 1, 1).to(self.device)
            for values in (config.latents_mean, config.latents_std)
        )
        return mean, 1.0 / deviation

    def decoder(self, precision: str) -> Any:
        """The VAE in `float32` or `bfloat16`."""
        if precision == "float32":
            return self.vae
        if self._quick_vae is None:
            quick = AutoencoderKLWan.from_config(self.vae.config)
            quick.load_state_dict(self.vae.state_dict())
            self._quick_vae = quick.to(self.device, torch.bfloat16).eval().requires_grad_(False)
        return self._quick_vae

    def text_encoder(self) -> TextEncoder:
        """The text encoder, for the time of a `with` block."""
        tokens = self.info.max_tokens
        return TextEncoder(self._directory, self.tokenizer, tokens, self.dtype, self.device)

    def digest(self, loras: Sequence[LoraUse]) -> str:
        """The model's digest, with these LoRAs. Raises `PromptError` for one that is not there."""
        return self._lora_folder.digest(self.manifest.digest, loras)

    def use_loras(self, loras: tuple[LoraUse, ...]) -> None:
        """Have just these LoRAs in the transformer; loads it anew where they differ.

        Raises `PromptError`.
        """
        if loras != self.loras:
            del self.transformer, self.projections
            self._load_transformer(loras)

    def _load_transformer(self, loras: tuple[LoraUse, ...] = ()) -> None:
        _free(self.device)
        placement = Placement.RESIDENT
        if self.device.type == "cuda":
            weights = weight_bytes(self._directory / "transformer", self.dtype)
            placement = choose("transformer", weights, room(self.device))
            logger.info("transformer of %.1f GB: %s", weights / 1e9, placement.value)
        stock = HeliosTransformer3DModel.from_pretrained(
            self._directory, subfolder="transformer", dtype=self.dtype, **_LOCAL
        )
        try:
            self._lora_folder.fuse(stock, loras)
        except PromptError:
            self._load_transformer()  # without: the next clip needs one
            raise
        self.loras = loras
        self.transformer = lean(stock.eval().requires_grad_(False))
        self.projections = PromptProjections(self.transformer).requires_grad_(False)
        if placement is Placement.RESIDENT:
            self.transformer.to(self.device)
            self.projections.to(self.device)
        else:
            offload(self.transformer, self.device, placement)
        _free(self.device)


def _free(device: torch.device) -> None:
    """Give back what was just dropped, before more is asked for."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    release_free_memory()


def hide_progress_bars() -> None:
    """Bars of the libraries would land in an agent's log; the farm has its own."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
