"""Latents of one chunk to frames: Helios decodes every chunk alone."""

from __future__ import annotations

import torch
from torch import Tensor

from node_agent.render.helios.model import HeliosModel
from node_agent.render.renderer import Frames


def decode(model: HeliosModel, latents: Tensor, precision: str = "float32") -> Frames:
    """Frames (33, height, width, 3) of `latents` (1, 16, 9, height / 8, width / 8), on the host."""
    frames: Frames = decoded(model, latents, precision).cpu().numpy()
    return frames


def decoded(model: HeliosModel, latents: Tensor, precision: str) -> Tensor:
    """The same on the device.

    They leave it as bytes, rounded half to even, like the stock pipeline's pictures.
    """
    vae = model.decoder(precision)
    mean, reciprocal = (each.to(vae.dtype) for each in model.latent_scale)
    scaled = latents.float().to(vae.dtype) / reciprocal + mean
    video: Tensor = vae.decode(scaled, return_dict=False)[0]
    return to_bytes(video[0]).permute(1, 2, 3, 0).contiguous()


def to_bytes(video: Tensor) -> Tensor:
    """Values of -1..1 as uint8 of 0..255, where the tensor is."""
    return (video * 0.5 + 0.5).clamp(0, 1).float().mul_(255).round_().to(torch.uint8)
