"""A Helios model in memory, loaded part by part from a verified directory."""

from __future__ import annotations

from dataclasses import dataclass
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
from transformers import T5TokenizerFast, UMT5EncoderModel
from transformers.utils import logging as transformers_logging

from node_agent.models import Manifest, ModelError, ModelInfo, describe, load_verified


@dataclass(frozen=True, slots=True)
class HeliosModel:
    """The parts of a Helios model, on one device."""

    manifest: Manifest
    info: ModelInfo
    device: torch.device
    tokenizer: Any
    text_encoder: Any
    """UMT5EncoderModel."""
    transformer: Any
    """HeliosTransformer3DModel."""
    vae: Any
    """AutoencoderKLWan, always float32."""
    schedule: Any
    """HeliosDMDScheduler (Distilled) or HeliosScheduler (Base, Mid); set anew for every stage."""

    @property
    def distilled(self) -> bool:
        """Whether the schedule predicts clean latents and noises them again."""
        return self.info.variant == "distilled"

    @property
    def pyramid(self) -> bool:
        """Whether a chunk is denoised over stages of growing size."""
        return self.info.variant != "base"


def load_model(
    directory: Path,
    device: torch.device,
    *,
    dtype: torch.dtype | None = None,
    stamps: Path | None = None,
) -> HeliosModel:
    """Verify and load. Raises `ModelError` when files do not match the manifest.

    `dtype` is by default bfloat16 on a GPU and float32 on a CPU, whose bfloat16 arithmetic is many
    times slower; what the model itself keeps in float32 stays so.
    """
    manifest = load_verified(directory, stamps=stamps)
    info = describe(directory)
    hide_progress_bars()
    dtype = dtype or (torch.float32 if device.type == "cpu" else torch.bfloat16)
    local = {"local_files_only": True, "use_safetensors": True}

    def part(cls: Any, name: str, **options: Any) -> Any:
        loaded = cls.from_pretrained(directory, subfolder=name, **local, **options)
        return loaded.to(device).eval().requires_grad_(False)

    model = HeliosModel(
        manifest=manifest,
        info=info,
        device=device,
        tokenizer=T5TokenizerFast.from_pretrained(directory / "tokenizer", local_files_only=True),
        text_encoder=part(UMT5EncoderModel, "text_encoder", dtype=dtype),
        transformer=part(HeliosTransformer3DModel, "transformer", dtype=dtype),
        vae=part(AutoencoderKLWan, "vae", dtype=torch.float32),
        schedule=_schedule(directory, info),
    )
    _check_embeddings(directory, model.text_encoder)
    return model


def hide_progress_bars() -> None:
    """Bars of the libraries would land in an agent's log; the farm has its own."""
    diffusers_logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()


def _schedule(directory: Path, info: ModelInfo) -> Any:
    cls = HeliosDMDScheduler if info.variant == "distilled" else HeliosScheduler
    return cls.from_pretrained(directory, subfolder="scheduler", local_files_only=True)


def _check_embeddings(directory: Path, text_encoder: Any) -> None:
    """Some checkpoints load with all token embeddings zero: every prompt would be the same."""
    if not text_encoder.get_input_embeddings().weight.any():
        raise ModelError(
            f"{directory}/text_encoder: the token embeddings loaded as zeros; save the text"
            " encoder again with the version of transformers that this node runs"
        )
