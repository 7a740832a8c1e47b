"""How large a model is, read from its directory: the coordinator compares frames by it."""

from __future__ import annotations

import json
from pathlib import Path

from farm.plan.economics import ModelShape, shape_of

MANIFEST = "heliostat-manifest.json"


def model_shape(directory: Path | None) -> ModelShape | None:
    """The shape of a model; None without one. Raises OSError, KeyError, ValueError."""
    if directory is None:
        return None
    manifest = json.loads((directory / MANIFEST).read_text())
    config = json.loads((directory / "transformer" / "config.json").read_text())
    return shape_of(
        manifest["variant"],
        layers=config["num_layers"],
        heads=config["num_attention_heads"],
        head_dim=config["attention_head_dim"],
        ffn_dim=config["ffn_dim"],
    )
