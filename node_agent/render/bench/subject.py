"""The model that is measured, on its device."""

from __future__ import annotations

from pathlib import Path

import torch

from node_agent.models import ModelError
from node_agent.render.bench.figures import Record
from node_agent.render.bench.options import Options
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.parts import ModelFiles, Parts
from node_agent.render.helios.placement import Caps, Room, room
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.profiles import PROFILES

RANDOM = "random weights, full size"
"""What a record says in place of a digest."""


def load(options: Options, device: torch.device) -> HeliosModel:
    """The model of a directory, or random weights of full size.

    Raises `ModelError`, before anything is allocated, where there is no room.
    """
    caps = Caps(options.vram_bytes, options.ram_bytes)
    parts: Parts = (
        ModelFiles(options.model) if options.model else random_parts(device, room(device, caps))
    )
    return HeliosModel(
        parts,
        device,
        vram_bytes=caps.vram,
        ram_bytes=caps.ram,
        pageable=options.pageable,
        compiled=options.compiled,
        profile=PROFILES[options.profile] if options.profile else None,
    )


def describe(model: HeliosModel, directory: Path | None) -> Record:
    """What was measured."""
    return {
        "name": model.manifest.name,
        "variant": model.info.variant,
        "profile": model.profile.name,
        "weights": model.manifest.digest if directory else RANDOM,
        "compiled": model.fusion.compiled,
        "attention": model.fusion.attention.strip("_"),
        "placement": model.placement.name,
        "blocks": model.placement.blocks,
        "blocks_resident": model.placement.resident,
        "bytes_streamed_per_pass": model.placement.bytes_streamed,
        "heads": model.info.heads,
        "head_dim": model.info.head_dim,
        "ffn_dim": model.info.ffn_dim,
    }


def random_parts(device: torch.device, free: Room) -> RandomWeights:
    """Random weights of full size. Raises `ModelError` on a CPU, where they make no sense."""
    parts = RandomWeights()
    if device.type == "cpu":
        needed = parts.transformer_bytes(torch.float32)
        raise ModelError(
            f"random weights of full size take {needed / 1e9:.1f} GB in float32 and hours for a"
            f" chunk on a CPU ({free.ram / 1e9:.1f} GB of host RAM are free); measure one with"
            " --model DIR (`farm-node model tiny DIR` builds a small model)"
        )
    return parts
