"""The arithmetic of a frame, and what a fleet's frame rate is worth in H100s. Pure.

The closed form follows diffusers' `HeliosTransformer3DModel`: in every block all tokens (history
and main) pass self-attention and the feed-forward, and only the main tokens attend to the text
(`guidance_cross_attn`). Norms, modulation, embeddings, VAE and text encoder are left out: at the
trained size they are a few per cent of the published work, and they scale alike.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from farm.domain.clip import CHUNK_FRAMES, Work
from farm.domain.quality import STAGES, presets

LATENT_FRAMES: Final = 9
"""Latent frames of one chunk."""
VAE_SCALE: Final = 8
"""Pixels of a latent, each way."""
PATCH: Final = 2
"""Latents of a token, each way; one latent frame deep."""
TEXT_TOKENS: Final = 512
"""Text is padded to this many tokens for cross-attention."""
HISTORY: Final = ((2, 1, 2), (2, 2, 4), (16, 4, 8))
"""Short, mid and long history: latent frames, and the depth and side of what becomes a token.
The short one is the first-frame anchor and the last latent frame."""


class Basis(StrEnum):
    """Where a figure comes from."""

    PUBLISHED = "published"
    MEASURED = "measured"
    CALIBRATED = "calibrated"
    """Estimated, and corrected by measurements."""
    ESTIMATED = "estimated"
    """By arithmetic."""
    ASSUMED = "assumed"
    """Somebody's choice: a price, a share, a number of clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelShape:
    """What of a Helios model decides how much arithmetic a frame takes."""

    variant: str
    """distilled, mid or base."""
    layers: int
    heads: int
    head_dim: int
    ffn_dim: int
    stages: int
    """Of the pyramid; 1 is none. Each earlier stage has half the height and width."""
    default_steps: tuple[int, ...]
    """Of the quality `standard`."""
    passes_per_step: int
    """2 with classifier-free guidance, else 1."""

    @property
    def dim(self) -> int:
        """Width of the residual stream."""
        return self.heads * self.head_dim


def shape_of(
    variant: str, *, layers: int, heads: int, head_dim: int, ffn_dim: int, stages: int = 0
) -> ModelShape:
    """A model's shape: its transformer's numbers, and what its variant does with them.

    `stages` of 0 is what the variant has. Raises `ValueError` for an unknown variant.
    """
    if variant not in STAGES:
        raise ValueError(f"unknown Helios variant {variant!r}: want {', '.join(STAGES)}")
    stages = stages or STAGES[variant]
    return ModelShape(
        variant=variant,
        layers=layers,
        heads=heads,
        head_dim=head_dim,
        ffn_dim=ffn_dim,
        stages=stages,
        default_steps=presets(variant, stages)["standard"],
        passes_per_step=1 if variant == "distilled" else 2,
    )


HELIOS: Final = MappingProxyType(
    {
        variant: shape_of(variant, layers=40, heads=40, head_dim=128, ffn_dim=13824)
        for variant in STAGES
    }
)
"""The released 14B models."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Baseline:
    """A frame rate to compare with: of which hardware and work, and who says so."""

    name: str
    frames_per_second: float
    variant: str
    work: Work
    basis: Basis
    source: str


H100: Final = Baseline(
    name="h100",
    frames_per_second=19.53,
    variant="distilled",
    work=Work(384, 640, (1, 1, 1)),
    basis=Basis.PUBLISHED,
    source="Helios's authors, Helios-Distilled on one H100; the steps are those of that figure",
)
RTX_4060_TI: Final = Baseline(
    name="rtx-4060-ti",
    frames_per_second=2.5,
    variant="distilled",
    work=Work(384, 640, (1, 1, 1)),
    basis=Basis.ESTIMATED,
    source="midpoint of 2-3 FPS as the press puts it; nobody has published a measurement",
)
BASELINES: Final = MappingProxyType({baseline.name: baseline for baseline in (H100, RTX_4060_TI)})
"""By name."""


def own_baseline(name: str, frames_per_second: float, steps: tuple[int, ...]) -> Baseline:
    """A known baseline, with an operator's own figure (*measured*) or steps in its place.

    0 and () keep what is known. Raises `KeyError` for a name that is not in `BASELINES`.
    """
    known = BASELINES[name]
    work = replace(known.work, steps=steps) if steps else known.work
    if not frames_per_second:
        return replace(known, work=work)
    return replace(
        known,
        frames_per_second=frames_per_second,
        work=work,
        basis=Basis.MEASURED,
        source="the farm's own configuration",
    )


@dataclass(frozen=True, slots=True)
class Equivalents:
    """So many cards of the baseline would render as fast."""

    value: float
    basis: Basis


def steps_of(model: ModelShape, work: Work) -> tuple[int, ...]:
    """Denoising steps of each stage; one number counts for every stage. Raises `ValueError`."""
    steps = work.steps or model.default_steps
    if len(steps) == 1:
        steps = steps * model.stages
    if len(steps) != model.stages:
        raise ValueError(
            f"{len(steps)} step counts for a model of {model.stages} stages: give one per stage"
        )
    return steps


def main_tokens(model: ModelShape, work: Work) -> tuple[int, ...]:
    """Tokens that each stage denoises, the smallest stage first."""
    side = VAE_SCALE * PATCH
    shrink = [2**stage for stage in reversed(range(model.stages))]
    return tuple(
        LATENT_FRAMES * (work.height // side // by) * (work.width // side // by) for by in shrink
    )


def history_tokens(work: Work) -> int:
    """Tokens of what came before: at full resolution in every stage."""
    height, width = work.height // VAE_SCALE, work.width // VAE_SCALE
    return sum(
        _ceil(frames, depth) * _ceil(height, side) * _ceil(width, side)
        for frames, depth, side in HISTORY
    )


def tflop_per_pass(model: ModelShape, main: int, history: int) -> float:
    """TFLOP of one pass over `main` + `history` tokens; a multiply-add counts as two."""
    d, tokens = model.dim, main + history
    projections = 2 * tokens * (4 * d * d + 2 * d * model.ffn_dim)
    to_text = 2 * 2 * d * d * (main + TEXT_TOKENS)
    matmul = model.layers * (projections + to_text) / 1e12
    return matmul + attention_tflop_per_pass(model, main, history)


def attention_tflop_per_pass(model: ModelShape, main: int, history: int) -> float:
    """Of these, TFLOP of attention itself: of all tokens to each other, and to the text."""
    tokens = main + history
    each = 4 * model.dim * (tokens * tokens + main * TEXT_TOKENS)
    return model.layers * each / 1e12


def tflop_per_chunk(model: ModelShape, work: Work, *, amplified: bool = False) -> float:
    """TFLOP of one chunk. An amplified first chunk (the DMD stepper's option) takes double steps.

    A clip's last chunk costs as much as any other, however much of it is trimmed.
    """
    history = history_tokens(work)
    stages = zip(steps_of(model, work), main_tokens(model, work), strict=True)
    once = sum(steps * tflop_per_pass(model, main, history) for steps, main in stages)
    return once * model.passes_per_step * (2 if amplified else 1)


def tflop_per_frame(model: ModelShape, work: Work) -> float:
    """TFLOP of one frame of a chunk that is not amplified."""
    return tflop_per_chunk(model, work) / CHUNK_FRAMES


@lru_cache(maxsize=4096)
def like_for_like(baseline: Baseline, model: ModelShape, work: Work) -> Baseline:
    """`baseline` for this model and work: itself where it is the same, else scaled, *estimated*.

    Scaled by TFLOP per frame, as if the hardware were as busy with the other work. Small work
    would in truth use it worse, so estimates for small models flatter the baseline.
    """
    reference = HELIOS[baseline.variant]
    steps = steps_of(model, work)
    work = Work(work.height, work.width, steps)
    same = Work(baseline.work.height, baseline.work.width, steps_of(reference, baseline.work))
    if model == reference and work == same:
        return baseline
    scale = tflop_per_frame(reference, baseline.work) / tflop_per_frame(model, work)
    return Baseline(
        name=baseline.name,
        frames_per_second=baseline.frames_per_second * scale,
        variant=model.variant,
        work=work,
        basis=Basis.ESTIMATED,
        source=f"{baseline.source}; scaled by TFLOP per frame",
    )


def seconds_per_frame(work: Work, model: ModelShape | None, baseline: Baseline = H100) -> float:
    """Seconds that the baseline takes for a frame of this work; 0 where there is no arithmetic.

    Summed over the frames rendered in a second, they are the H100 equivalents of a fleet that
    renders different works at once. Work that the model cannot do is worth nothing: the one who
    asks is in the middle of an exchange, and has no use for an error.
    """
    if model is None:
        return 0.0
    try:
        return 1.0 / like_for_like(baseline, model, work).frames_per_second
    except ValueError:
        return 0.0


def h100_equivalents(
    fps: float, work: Work, model: ModelShape | None, baseline: Baseline = H100
) -> Equivalents:
    """`fps` rendered frames per second over the baseline of the same work.

    A model of None is a renderer without arithmetic (test cards): it is worth no H100 at all.
    """
    if model is None:
        return Equivalents(0.0, Basis.ESTIMATED)
    same = like_for_like(baseline, model, work)
    return Equivalents(fps / same.frames_per_second, same.basis)


def cards_for(money: float, price: float) -> int:
    """Whole cards that `money` buys at `price`, in one currency."""
    if price <= 0:
        raise ValueError(f"a card at {price}: want a price above 0")
    return int(money // price)


def _ceil(size: int, part: int) -> int:
    return -(-size // part)
