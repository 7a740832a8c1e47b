"""What a pyramid and compressed memory save of a clip's arithmetic, and what they do not. Pure.

The article tells of "18.32x compression" and of "the equivalent of 764M parameters". The one is
8 (memory) times 2.29 (pyramid: mean tokens of three stages against the last one's), the other is
14 billion over it. But the two act on different tokens, and every pass reads all parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from farm.domain.clip import Work
from farm.plan.economics import (
    HISTORY,
    PATCH,
    VAE_SCALE,
    ModelShape,
    history_tokens,
    main_tokens,
    steps_of,
    tflop_per_chunk,
    tflop_per_pass,
)

CLAIMED_COMPRESSION: Final = 18.32
"""The article's."""
CLAIMED_PARAMETERS: Final = 764e6
"""The article's: 14e9 / 18.32."""
PARAMETERS: Final = 14_312_427_584
"""Of the transformer, counted from the published architecture."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the pyramid, in one chunk."""

    main: int
    """Tokens that it denoises."""
    history: int
    passes: int
    tflop_per_pass: float

    @property
    def tflop(self) -> float:
        """Of all its passes."""
        return self.passes * self.tflop_per_pass


def stages_of(model: ModelShape, work: Work) -> list[Stage]:
    """A chunk, stage by stage, the smallest first."""
    history = history_tokens(work)
    return [
        Stage(main, history, steps * model.passes_per_step, tflop_per_pass(model, main, history))
        for steps, main in zip(steps_of(model, work), main_tokens(model, work), strict=True)
    ]


def whole_history_tokens(work: Work) -> int:
    """Tokens of what came before, if each latent frame were as fine as those being made."""
    frames = sum(frames for frames, _, _ in HISTORY)
    side = VAE_SCALE * PATCH
    return frames * (work.height // side) * (work.width // side)


def tflop_uncompressed(
    model: ModelShape, work: Work, *, pyramid: bool = False, memory: bool = False
) -> float:
    """TFLOP of a chunk with as many passes, without what is not asked for.

    Without a pyramid every pass is at full size; without compressed memory all that is remembered
    is as fine as what is made. With both it is `tflop_per_chunk`.
    """
    history = history_tokens(work) if memory else whole_history_tokens(work)
    mains = main_tokens(model, work)
    each = mains if pyramid else (mains[-1],) * len(mains)
    return model.passes_per_step * sum(
        steps * tflop_per_pass(model, main, history)
        for steps, main in zip(steps_of(model, work), each, strict=True)
    )


def claimed_factors(work: Work, model: ModelShape) -> tuple[float, float]:
    """What the claim multiplies: tokens remembered, and tokens denoised, that are saved."""
    mains = main_tokens(model, work)
    return whole_history_tokens(work) / history_tokens(work), len(mains) * mains[-1] / sum(mains)


def saving(model: ModelShape, work: Work) -> float:
    """How many times more arithmetic the same chunk takes without pyramid and memory."""
    return tflop_uncompressed(model, work) / tflop_per_chunk(model, work)
