"""Latents of one chunk to frames: Helios decodes every chunk alone."""

from __future__ import annotations

import torch
from torch import Tensor

from node_agent.render.helios.model import HeliosModel
from node_agent.render.renderer import Frames


def decode(model: HeliosModel, latents: Tensor, vae: str = "float32") -> Frames:
    """Frames (33, height, width, 3) of `latents` (1, 16, 9, height / 8, width / 8), on the host.

    `vae` is one of `recipe.VAES`.
    """
    frames: Frames = decoded(model, latents, vae).cpu().numpy()
    return frames


def decoded(model: HeliosModel, latents: Tensor, vae: str) -> Tensor:
    """The same on the device.

    They leave it as bytes, rounded half to even, like the stock pipeline's pictures.
    """
    decoder = model.decoder(vae)
    if vae == "tiny":
        video: Tensor = decoder.decode(latents.float())
    else:
        mean, reciprocal = (each.to(decoder.dtype) for each in model.latent_scale)
        scaled = latents.float().to(decoder.dtype) / reciprocal + mean
        video = decoder.decode(scaled, return_dict=False)[0]
    return to_bytes(video[0]).permute(1, 2, 3, 0).contiguous()


def to_bytes(video: Tensor) -> Tensor:
    """Values of -1..1 as uint8 of 0..255, where the tensor is."""
    return (video * 0.5 + 0.5).clamp(0, 1).float().mul_(255).round_().to(torch.uint8)
