"""What a profile loses against `exact`, on small models of random weights and on helios-mini, which
is trained: the table of docs/profiles.md.

    python bench/profile_loss.py

Two things are measured. One pass of the transformer, on what a clip really feeds it, against the
same pass with its matrix products in float64: the norm of the difference over the norm. And whole
clips of the same seeds: PSNR of the frames (8 bits, peak 255), chunk by chunk, the lowest of the
seeds. Of helios-mini a third: how many clips the judge of `tools.mini` reads as their prompts say.
"""

from __future__ import annotations

import argparse
import math
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import HeliosTransformer3DModel

from node_agent.models.mini import MINI
from node_agent.quality.likeness import psnr_db, squares
from node_agent.render.helios import tiny
from node_agent.render.helios.clip import HeliosClip
from node_agent.render.helios.lanes import render_chunks
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.profiles import EXACT, FAST, Profile
from node_agent.render.renderer import Frames, RenderSpec
from tools.mini.judge import read
from tools.mini.renders import Ask, held_out_asks

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
NOTHING = ("", "", "", "")
"""What a clip of random weights shows."""


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


@dataclass(frozen=True)
class Subject:
    """What clips are made of."""

    directory: Path
    model: HeliosModel
    asks: list[Ask]
    size: int
    guidance_scale: float | None = None
    """None: the model's."""

    def clip(self, ask: Ask, chunks: int, profile: Profile) -> HeliosClip:
        """A clip that has not begun."""
        spec = RenderSpec(
            clip_id=str(ask.seed),
            prompt=ask.prompt,
            frames=33 * chunks,
            height=self.size,
            width=self.size,
            seed=ask.seed,
            steps=STEPS[self.model.info.variant],
            guidance_scale=self.guidance_scale,
        )
        return HeliosClip(self.model, PromptEncoder(self.model), spec, None, profile)

    def films(self, chunks: int, profile: Profile) -> Iterator[list[Frames]]:
        """The chunks' frames, clip by clip."""
        for ask in self.asks:
            each = self.clip(ask, chunks, profile)
            made = [render_chunks(self.model, [each], lambda _: False)[0] for _ in range(chunks)]
            yield [chunk.wait().frames for chunk in made if chunk is not None]


def decibels(ours: Frames, theirs: Frames) -> float:
    """PSNR."""
    return psnr_db(squares(ours, theirs) / ours.size) or math.inf


@torch.inference_mode()
def pass_errors(subject: Subject) -> dict[str, float]:
    """Relative error of a pass, the mean over those of one chunk."""
    recorder = Recorder(subject.model.transformer)
    render_chunks(subject.model, [subject.clip(subject.asks[0], 1, EXACT)], lambda _: False)
    recorder.close()
    directory, cpu = subject.directory, subject.model.device

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


def subjects(seeds: int) -> Iterator[tuple[str, Subject]]:
    """Every model of the table, one after the other."""
    asks = [Ask(PROMPT, NOTHING, seed) for seed in range(seeds)]
    for shape, arguments in SHAPES.items():
        for variant in tiny.VARIANTS:
            with tempfile.TemporaryDirectory() as folder:
                directory = Path(folder) / "model"
                tiny._transformer = lambda arguments=arguments: HeliosTransformer3DModel(
                    text_dim=tiny.TEXT_DIM, **arguments
                ).eval()
                tiny.build_tiny(directory, variant=variant)
                model = HeliosModel(directory, torch.device("cpu"))
                yield f"{shape} | {variant}", Subject(directory, model, asks, 128)
    model = HeliosModel(MINI, torch.device("cpu"))
    yield "helios-mini | base", Subject(MINI, model, held_out_asks(4 * seeds, 0), 64, 3.0)


def as_asked(subject: Subject, films: list[list[Frames]]) -> str:
    """How many clips show colour and ground of their prompts in every chunk."""
    right = 0
    for ask, film in zip(subject.asks, films, strict=True):
        shown = [read(chunk) for chunk in film]
        right += all((each.colour, each.ground) == ask.content[1:3] for each in shown)
    return f"{right} of {len(films)}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--chunks", type=int, default=3)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("| model | variant | `exact`, float32 | `exact`, bfloat16 |", end=" ")
    print("`fast`, rest float32 | `fast`, rest bfloat16 | clips |")
    print("|---" * 7 + "|")
    for name, subject in subjects(given.seeds):
        errors = pass_errors(subject)
        exact, fast = (list(subject.films(given.chunks, each)) for each in (EXACT, FAST))
        lowest = [
            min(decibels(one[chunk], other[chunk]) for one, other in zip(exact, fast, strict=True))
            for chunk in range(given.chunks)
        ]
        cells = [f"{100 * error:.2g} %" for error in errors.values()]
        print(f"| {name} | {' | '.join(cells)} |", end=" ")
        print(" / ".join(f"{each:.1f}" for each in lowest), "dB |", flush=True)
    both = as_asked(subject, exact), as_asked(subject, fast)
    print(f"\nhelios-mini as asked: exact {both[0]}, fast {both[1]}")


if __name__ == "__main__":
    main()
