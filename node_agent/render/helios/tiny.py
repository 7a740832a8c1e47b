"""helios-tiny: a complete Helios model of random weights, built on the spot in seconds.

The classes, file layout and configurations are the real ones; only the sizes are small. It shows
moving colours instead of a film, and exercises every line that the 14B model does.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKLWan,
    HeliosDMDScheduler,
    HeliosPipeline,
    HeliosPyramidPipeline,
    HeliosScheduler,
    HeliosTransformer3DModel,
)
from torch import nn
from transformers import T5TokenizerFast, UMT5Config, UMT5EncoderModel

from node_agent.models import MAX_PROMPT_TOKENS, Manifest, ModelError, write_manifest
from node_agent.render.helios import tiny_tokenizer
from node_agent.render.helios.model import hide_progress_bars

VARIANTS = ("distilled", "mid", "base")
TEXT_DIM = 32

CONTRAST = 0.7
"""Factor on the decoder's last layer: the colours span the range without clipping all of it."""


def build_tiny(
    directory: Path, *, variant: str = "distilled", seed: int = 0, gamma: float = 1 / 3
) -> Manifest:
    """Build the model into `directory`, manifest included; the same call gives the same digest.

    `gamma` is the correlation of the pyramid's block noise: 1/3 in the real models, where the
    stock pipeline's CPU code raises; 0.3333 lets that code run. Raises `ModelError` for an
    unknown variant, or when `directory` is not empty.
    """
    if variant not in VARIANTS:
        raise ModelError(f"unknown variant {variant!r}; there are {', '.join(VARIANTS)}")
    if directory.exists() and any(directory.iterdir()):
        raise ModelError(f"{directory}: not empty; name a new directory")
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    hide_progress_bars()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _pipeline(variant, gamma).save_pretrained(partial)
    manifest = write_manifest(
        partial, name="helios-tiny", revision=f"random seed={seed} gamma={gamma}"
    )
    partial.replace(directory)
    return manifest


def _pipeline(variant: str, gamma: float) -> HeliosPipeline | HeliosPyramidPipeline:
    tokenizer = make_tokenizer()
    parts: dict[str, Any] = {
        "tokenizer": tokenizer,
        "text_encoder": _text_encoder(len(tokenizer)),
        "vae": _vae(),
        "transformer": _transformer(),
    }
    match variant:
        case "distilled":
            stepper = HeliosDMDScheduler(use_dynamic_shifting=True, gamma=gamma)
            return HeliosPyramidPipeline(scheduler=stepper, is_distilled=True, **parts)
        case "mid":
            stepper = HeliosScheduler(use_dynamic_shifting=True, gamma=gamma)
            return HeliosPyramidPipeline(scheduler=stepper, is_cfg_zero_star=True, **parts)
        case _:
            stepper = HeliosScheduler(
                stages=1, stage_range=[0, 1], use_dynamic_shifting=True, gamma=gamma
            )
            return HeliosPipeline(scheduler=stepper, **parts)


def make_tokenizer() -> T5TokenizerFast:
    """The tokenizer of every tiny model, trained on the spot."""
    return T5TokenizerFast(
        tokenizer_object=tiny_tokenizer.train(tiny_tokenizer.corpus()),
        pad_token="<pad>",  # noqa: S106 - these tokens are no secrets
        eos_token="</s>",  # noqa: S106
        unk_token="<unk>",  # noqa: S106
        extra_ids=0,
        model_max_length=MAX_PROMPT_TOKENS,
    )


def _text_encoder(vocabulary: int) -> UMT5EncoderModel:
    return UMT5EncoderModel(
        UMT5Config(
            vocab_size=vocabulary,
            d_model=TEXT_DIM,
            d_kv=8,
            d_ff=64,
            num_layers=2,
            num_heads=4,
            relative_attention_num_buckets=8,
            dropout_rate=0.0,
            feed_forward_proj="gated-gelu",
            pad_token_id=0,
            eos_token_id=1,
            decoder_start_token_id=0,
        )
    ).eval()


def _vae() -> AutoencoderKLWan:
    vae = AutoencoderKLWan(
        base_dim=4,
        z_dim=16,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=0,  # one a level: on a CPU the decoder takes most of a tiny chunk's time
        temperal_downsample=[False, True, True],
    ).eval()
    _soften(vae.decoder)
    return vae


@torch.no_grad()
def _soften(decoder: nn.Module) -> None:
    """Turn the static of a random decoder into clouds of colour that drift.

    Convolutions become random mixes of channels: within a resolution of each pixel alone, between
    resolutions averaged over their reach. Only copies and signs, so that every processor gets the
    same weights.
    """
    for name, module in decoder.named_modules():
        if not isinstance(module, nn.Conv2d | nn.Conv3d):
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)
        weight = module.weight
        mix = weight.flatten(2)[:, :, 0].clone()
        if name.endswith("time_conv"):  # its two halves become neighbouring frames
            mix[mix.shape[0] // 2 :] = mix[: mix.shape[0] // 2]
        if name == "conv_out":  # channels against each other: no colour cast
            mix[:, 1::2] = -mix[:, ::2]
            mix *= CONTRAST
        if ".resnets." in name:
            nn.init.zeros_(weight)
            weight[:, :, -1, weight.shape[3] // 2, weight.shape[4] // 2] = mix
        else:
            weight.copy_(mix.view(*mix.shape, *(1 for _ in weight.shape[2:])).expand_as(weight))


def _transformer() -> HeliosTransformer3DModel:
    return HeliosTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=12,
        rope_dim=(4, 4, 4),
        text_dim=TEXT_DIM,
        ffn_dim=48,
        num_layers=2,
    ).eval()
