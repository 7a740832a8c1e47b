"""What each quality means for each variant, asked of the recipe itself, for help and documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from node_agent.models import MAX_PROMPT_TOKENS, ModelInfo
from node_agent.render.helios.recipe import Recipe, recipe_for
from node_agent.render.renderer import QUALITIES, RenderSpec

VARIANTS: Final = {"distilled": (3, 1.0), "mid": (3, 5.0), "base": (1, 5.0)}
"""Stages of the pyramid, and guidance where nobody says otherwise."""

_ANY: Final = RenderSpec(clip_id="any", prompt="", frames=33, height=384, width=640, seed=0)


def preset(variant: str, quality: str, *, on_gpu: bool = True) -> Recipe:
    """What a clip gets that asks for nothing but its quality."""
    stages, guidance = VARIANTS[variant]
    info = ModelInfo(
        variant=variant,
        layers=0,
        heads=0,
        head_dim=0,
        ffn_dim=0,
        text_dim=0,
        max_tokens=MAX_PROMPT_TOKENS,
        default_steps=(1,) * stages,
        default_guidance_scale=guidance,
    )
    spec = replace(_ANY, quality=quality)
    return recipe_for(spec, info, on_gpu=on_gpu)


def rows() -> list[tuple[str, ...]]:
    """Quality, variant, steps of each chunk, arithmetic and VAE on a GPU; the head row first."""
    found: list[tuple[str, ...]] = [("quality", "variant", "steps of a chunk", "arithmetic", "VAE")]
    for quality in QUALITIES:
        for variant in VARIANTS:
            recipe = preset(variant, quality)
            steps = ",".join(map(str, recipe.steps))
            steps += ", each twice (guidance)" if recipe.guided else ""
            steps += ", the first chunk's doubled" if recipe.amplify_first_chunk else ""
            found.append((quality, variant, steps, recipe.arithmetic, recipe.vae))
    return found


def table() -> str:
    """As Markdown."""
    head, *body = ["| " + " | ".join(row) + " |" for row in rows()]
    return "\n".join([head, "|---" * len(rows()[0]) + "|", *body])


def help_text() -> str:
    """As plain columns, and what a CPU does."""
    found = rows()
    widths = [max(len(row[column]) for row in found) for column in range(len(found[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in found
    ]
    cpu = preset("distilled", "standard", on_gpu=False)
    said = f"On a CPU: {cpu.arithmetic} arithmetic, and a {cpu.vae} VAE unless --vae names another."
    return "\n".join([*lines, said])
