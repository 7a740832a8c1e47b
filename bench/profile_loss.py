"""What a profile loses against `exact`, on small models of random weights: the table of
docs/profiles.md.

    python bench/profile_loss.py

Two things are measured. One pass of the transformer, on what a clip really feeds it, against the
same pass with its matrix products in float64: the norm of the difference over the norm. And whole
clips of the same seeds: PSNR of the frames (8 bits, peak 255), chunk by chunk, the lowest of the
seeds.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from diffusers import HeliosTransformer3DModel

from node_agent.quality.likeness import psnr_db, squares
from node_agent.render.helios import tiny
from node_agent.render.helios.clip import HeliosClip
from node_agent.render.helios.lanes import render_chunks
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.profiles import EXACT, FAST, Profile
from node_agent.render.renderer import Frames, RenderSpec

SHAPES = {
    "5 blocks of 24": {
        "num_attention_heads": 2, "attention_head_dim": 12, "rope_dim": (4, 4, 4),
        "ffn_dim": 48, "num_layers": 5,
    },
    "8 blocks of 512": {
        "num_attention_heads": 4, "attention_head_dim": 128, "rope_dim": (44, 42, 42),
        "ffn_dim": 1408, "num_layers": 8,
    },
}  # fmt: skip
STEPS = {"distilled": (2, 2, 2), "mid": (4, 4, 4), "base": (8,)}
PROMPT = "A lighthouse keeper climbs a spiral staircase by lantern light."


class Recorder:
    """Keeps what the passes of a transformer were given."""

    def __init__(self, transformer: Any) -> None:
        self.given: list[tuple[Any, Any]] = []
        self._handle = transformer.register_forward_pre_hook(self._keep, with_kwargs=True)

    def _keep(self, _module: Any, arguments: Any, keywords: Any) -> None:
        self.given.append((arguments, keywords))

    def close(self) -> None:
        """Stop."""
        self._handle.remove()


def typed(value: Any, dtype: torch.dtype) -> Any:
    """What a pass was given, in another type."""
    if isinstance(value, torch.Tensor):
        return value.to(dtype) if value.is_floating_point() else value
    if isinstance(value, dict):
        return {key: typed(each, dtype) for key, each in value.items()}
    if isinstance(value, str) or not hasattr(value, "__len__"):
        return value
    return tuple(typed(each, dtype) for each in value)


def clip(model: HeliosModel, seed: int, chunks: int, profile: Profile) -> HeliosClip:
    """A clip of 128x128."""
    spec = RenderSpec(
        clip_id=str(seed),
        prompt=PROMPT,
        frames=33 * chunks,
        height=128,
        width=128,
        seed=seed,
        steps=STEPS[model.info.variant],
    )
    return HeliosClip(model, PromptEncoder(model), spec, None, profile)


def films(model: HeliosModel, seeds: int, chunks: int, profile: Profile) -> Iterator[list[Frames]]:
    """The chunks' frames, seed by seed."""
    for seed in range(seeds):
        each = clip(model, seed, chunks, profile)
        made = [render_chunks(model, [each], lambda _: False)[0] for _ in range(chunks)]
        yield [chunk.wait().frames for chunk in made if chunk is not None]


def decibels(ours: Frames, theirs: Frames) -> float:
    """PSNR."""
    return psnr_db(squares(ours, theirs) / ours.size) or math.inf


@torch.inference_mode()
def pass_errors(directory: Path) -> dict[str, float]:
    """Relative error of a pass, the mean over those of one chunk."""
    cpu = torch.device("cpu")
    model = HeliosModel(directory, cpu)
    recorder = Recorder(model.transformer)
    render_chunks(model, [clip(model, 0, 1, EXACT)], lambda _: False)
    recorder.close()

    def passes(dtype: torch.dtype, profile: Profile) -> list[torch.Tensor]:
        transformer = HeliosModel(directory, cpu, dtype=dtype, profile=profile).transformer
        made = []
        for arguments, keywords in recorder.given:
            out = transformer(*typed(arguments, dtype), **typed(keywords, dtype))
            made.append(out.double())
        return made

    reference = passes(torch.float64, EXACT)
    found = {}
    for name, dtype, profile in (
        ("exact, float32", torch.float32, EXACT),
        ("exact, bfloat16", torch.bfloat16, EXACT),
        ("fast, float32", torch.float32, FAST),
        ("fast, bfloat16", torch.bfloat16, FAST),
    ):
        errors = [
            float((ours - theirs).norm() / theirs.norm())
            for ours, theirs in zip(passes(dtype, profile), reference, strict=True)
        ]
        found[name] = sum(errors) / len(errors)
    return found


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--chunks", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | variant | `exact`, float32 | `exact`, bfloat16 |", end=" ")
    print("`fast`, rest float32 | `fast`, rest bfloat16 | clips |")
    print("|---" * 7 + "|")
    for shape, arguments in SHAPES.items():
        for variant in tiny.VARIANTS:
            with tempfile.TemporaryDirectory() as folder:
                directory = Path(folder) / "model"
                tiny._transformer = lambda arguments=arguments: HeliosTransformer3DModel(
                    text_dim=tiny.TEXT_DIM, **arguments
                ).eval()
                tiny.build_tiny(directory, variant=variant)
                errors = pass_errors(directory)
                model = HeliosModel(directory, torch.device("cpu"))
                exact, fast = (
                    list(films(model, given.seeds, given.chunks, each)) for each in (EXACT, FAST)
                )
            lowest = [
                min(
                    decibels(one[chunk], other[chunk])
                    for one, other in zip(exact, fast, strict=True)
                )
                for chunk in range(given.chunks)
            ]
            cells = [f"{100 * error:.2g} %" for error in errors.values()]
            print(f"| {shape} | {variant} | {' | '.join(cells)} |", end=" ")
            print(" / ".join(f"{each:.1f}" for each in lowest), "dB |", flush=True)


if __name__ == "__main__":
    main()
