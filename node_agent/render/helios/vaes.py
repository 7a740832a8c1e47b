"""The VAEs of a model: the one that it comes with, and quicker ones made of it."""

from __future__ import annotations

from copy import copy
from typing import Any, Final

import torch
from diffusers import AutoencoderKLWan

from node_agent.render.helios.parts import Parts

TILE: Final = 256
"""Pixels of a tile's side."""
TILE_STRIDE: Final = 192
"""Pixels from one tile to the next: 64 are blended between two."""


class Vaes:
    """What encodes and decodes, on one device."""

    def __init__(self, parts: Parts, device: torch.device) -> None:
        self._parts = parts
        self._device = device
        self.exact = parts.vae().to(device).eval().requires_grad_(False)
        """AutoencoderKLWan in float32, which encodes images and videos and decodes exactly."""
        self._decoders: dict[str, Any] = {"float32": self.exact}

    def decoder(self, vae: str) -> Any:
        """What decodes, one of `recipe.VAES`; made when it is first asked for.

        Raises `ModelError` for a tiny one that the model does not have.
        """
        if vae not in self._decoders:
            self._decoders[vae] = self._make(vae)
        return self._decoders[vae]

    @torch.inference_mode(mode=False)  # weights are ordinary tensors, whoever asks for them
    def _make(self, vae: str) -> Any:
        if vae == "tiny":
            dtype = torch.float32 if self._device.type == "cpu" else torch.bfloat16
            return self._parts.tiny_vae().to(self._device, dtype)
        if vae == "bfloat16-tiled":
            tiled = copy(self.decoder("bfloat16"))  # the same weights
            tiled.enable_tiling(TILE, TILE, TILE_STRIDE, TILE_STRIDE)
            return tiled
        quick = AutoencoderKLWan.from_config(self.exact.config)
        quick.load_state_dict(self.exact.state_dict())
        return quick.to(self._device, torch.bfloat16).eval().requires_grad_(False)
