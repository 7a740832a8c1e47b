"""A model's shape, read from its JSON configurations without loading it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

QUANTISED = "heliostat_quantised"
"""Key of a transformer's configuration whose weights are stored in fewer bits; its value names the
profile, and the `FORMAT` of the files."""
FORMAT = 1
"""Of quantised weights; counts up when they are stored, or reckoned, in another way."""

MAX_PROMPT_TOKENS = 512
"""Tokens of a prompt, the end token included: the length Helios was trained with."""


class ModelError(Exception):
    """A model directory cannot be used; the message names every file at fault and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """A model's shape, enough to count its arithmetic; read from the configurations alone."""

    variant: str
    layers: int
    heads: int
    head_dim: int
    ffn_dim: int
    text_dim: int
    max_tokens: int
    default_steps: tuple[int, ...]
    """Per pyramid stage, or one number where there is no pyramid."""
    default_guidance_scale: float
    profile: str = ""
    """The only profile that its weights can be run with, where they are stored in fewer bits."""
    tiny_vae: bool = False
    """It comes with a tiny VAE for previews, in `tiny_vae/`."""


def describe(directory: Path) -> ModelInfo:
    """Read a model's shape from its JSON configurations. Raises `ModelError`."""
    index = read_config(directory / "model_index.json")
    transformer = read_config(directory / "transformer" / "config.json")
    stages = read_config(directory / "scheduler" / "scheduler_config.json").get("stages", 3)
    variant = _variant(directory, index)
    steps = {"distilled": (2,) * stages, "mid": (20,) * stages, "base": (50,)}[variant]
    try:
        return ModelInfo(
            variant=variant,
            layers=transformer["num_layers"],
            heads=transformer["num_attention_heads"],
            head_dim=transformer["attention_head_dim"],
            ffn_dim=transformer["ffn_dim"],
            text_dim=transformer["text_dim"],
            max_tokens=MAX_PROMPT_TOKENS,
            default_steps=steps,
            default_guidance_scale=1.0 if variant == "distilled" else 5.0,
            profile=_stored_profile(directory, transformer),
            tiny_vae=any((directory / "tiny_vae").glob("*.safetensors")),
        )
    except KeyError as error:
        raise ModelError(f"{directory}/transformer/config.json: {error} is missing") from None


def _variant(directory: Path, index: dict[str, Any]) -> str:
    """Helios's three variants differ in the pipeline that their model index names."""
    match index.get("_class_name"):
        case "HeliosPipeline":
            return "base"
        case "HeliosPyramidPipeline":
            return "distilled" if index.get("is_distilled") else "mid"
        case other:
            raise ModelError(f"{directory}/model_index.json: {other!r} is no Helios pipeline")


def _stored_profile(directory: Path, transformer: dict[str, Any]) -> str:
    stored = transformer.get(QUANTISED)
    if stored is None:
        return ""
    if not isinstance(stored, dict) or stored.get("format") != FORMAT:
        raise ModelError(
            f"{directory}/transformer/config.json: weights are quantised in a format that this"
            f" version does not know ({stored!r}; it knows format {FORMAT}); quantise the model"
            " again (`farm-node model quantize`), or use the version that made it"
        )
    return str(stored.get("profile"))


def read_config(path: Path) -> dict[str, Any]:
    """Read a JSON object. Raises `ModelError`."""
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"{path}: there is no such file; name a model's directory") from None
    except (OSError, ValueError) as error:
        raise ModelError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(config, dict):
        raise ModelError(f"{path}: not a JSON object")
    return config
