"""A training as a model directory, which loads as any other does."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from diffusers import HeliosPipeline, HeliosPyramidPipeline, HeliosScheduler

from node_agent.models import Manifest, ModelError, write_manifest
from node_agent.render.helios.model import hide_progress_bars

from .plan import Plan
from .pupil import build_transformer
from .pyramid import build_schedule
from .stages import BEGUN, stored_plan, trained

NAMES = {1: "helios-mini", 3: "helios-mini-distilled"}
"""By the number of stages in the pyramid."""
BYTES_MAX = 10_000_000
LICENCE = Path(__file__).parents[2] / "LICENSE"

CARD = """# {name}

A Helios of {millions:.1f} million parameters that knows one coloured shape moving before a coloured
ground, in {size} pixels, and captions such as "{example}"

Trained by `python -m tools.mini train` of Heliostat, on clips that the same program draws: {steps}
steps of the transformer{origin}, seed {seed}. Apache License 2.0.
"""
EXAMPLE = "A red disc moves to the left on a blue ground."


def export(directory: Path, destination: Path) -> Manifest:
    """Write the training in `directory` as a model into `destination`, a new directory.

    Weights are stored in float16. Raises `ModelError` where `destination` is not empty or the
    model would be too large, `UnfinishedTraining` where there is nothing yet.
    """
    if destination.exists() and any(destination.iterdir()):
        raise ModelError(f"{destination}: not empty; name a new directory")
    made, plan = trained(directory), stored_plan(directory)
    hide_progress_bars()
    partial = destination.with_name(f".{destination.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    transformer: Any = build_transformer(plan)
    transformer.load_state_dict(made.pupil.state_dict())
    parts: dict[str, Any] = {
        "vae": made.vae,
        "text_encoder": made.encoder,
        "transformer": transformer,
    }
    count = sum(weight.numel() for part in parts.values() for weight in part.parameters())
    for part in parts.values():
        _store_small(part)
    _pipeline(plan, tokenizer=made.tokenizer, **parts).save_pretrained(partial)
    name, size = NAMES[plan.stages], f"{plan.size}x{plan.size}"
    card = CARD.format(
        name=name,
        millions=count / 1e6,
        example=EXAMPLE,
        size=size,
        origin=", after those of helios-mini" if (directory / BEGUN).exists() else "",
        steps=made.steps,
        seed=plan.seed,
    )
    (partial / "README.md").write_text(card, encoding="utf-8")
    shutil.copyfile(LICENCE, partial / "LICENSE")
    revision = f"trained seed={plan.seed} steps={made.steps}"
    manifest = write_manifest(partial, name=name, revision=revision)
    if manifest.size > BYTES_MAX:
        raise ModelError(f"{partial}: {manifest.size} bytes; the limit is {BYTES_MAX}")
    partial.replace(destination)
    return manifest


def _pipeline(plan: Plan, **parts: Any) -> HeliosPipeline | HeliosPyramidPipeline:
    if plan.stages > 1:
        return HeliosPyramidPipeline(scheduler=build_schedule(), is_distilled=True, **parts)
    straight = HeliosScheduler(stages=1, stage_range=[0, 1], use_dynamic_shifting=True)
    return HeliosPipeline(scheduler=straight, **parts)


def _store_small(part: Any) -> None:
    """Weights as float16, but for what the class itself keeps in float32."""
    kept = part._keep_in_fp32_modules or []
    for name, weight in part.named_parameters():
        if not any(key in name for key in kept):
            weight.data = weight.data.to(torch.float16)
