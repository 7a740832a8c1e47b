"""How long a card takes for a chunk: from arithmetic, bytes, peaks and their use. Pure.

A pass of the transformer is matrix products, attention, and what is done element by element between
them; meanwhile the weights that have no room on the card come over its link, and the pass ends when
both have ended. After the passes the VAE decodes the chunk. Everything else (encode, upload) runs
beside the next chunk and takes no time of the card.

    pass  = max(matmul + attention + elementwise, streamed bytes / link)
    chunk = sum of passes + VAE

All figures are *predicted* until `farm.plan.card_fit` has seen measurements of the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from farm.domain.clip import CHUNK_FRAMES, Work
from farm.plan.card_table import Card
from farm.plan.economics import (
    ModelShape,
    attention_tflop_per_pass,
    history_tokens,
    main_tokens,
    steps_of,
    tflop_per_chunk,
    tflop_per_pass,
)

COMPILED_BYTES: Final = 49.0
"""Traffic of memory per token, channel and block beside matrix products and attention: 2.8 GB in a
block of the full stage. Counted from the kernels that a compiled block is made of, as are the next
two from the operators of blocks that are not compiled (docs/rendering.md)."""
EAGER_BYTES: Final = 235.0
"""The same where blocks run as they are written."""
STOCK_BYTES: Final = 371.0
"""The same of the stock forward, which expands modulation to every token: 21 GB."""
VAE_TFLOP: Final = 69.0
"""Of one chunk of 384x640; it grows with the pixels. Counted from `AutoencoderKLWan`."""
VAE_SHARE: Final = 0.36
"""Of the peak that its convolutions reach: 1.253 s in float32 and 0.665 s in bfloat16 on an A100,
as published by Helios's authors, are 0.35 and 0.33; 0.38 is estimated for smaller cards."""
TINY_VAE_SPEED: Final = 10.0
"""A tiny VAE's speed against the whole one in bfloat16; estimated."""
LOW_BIT_SHARE: Final = 0.84
"""What 8-bit matrix products reach of what bfloat16 ones do: activations are quantised on the way.
Estimated."""
WHOLE_BLOCKS: Final = 2
"""The first and the last block, which the 8-bit profiles keep in bfloat16."""
WORKING_BYTES: Final = 5 * 2.0**30
"""GPU memory that a chunk at 640x384 takes beside weights, and what streams them. Estimated."""
MEMORY_SHARE: Final = 0.9
"""Of its memory's bandwidth that elementwise kernels reach. Estimated."""


class Profile(StrEnum):
    """How a model is run: in what its blocks' matrix products are computed."""

    EXACT = "exact"
    """bfloat16."""
    FAST = "fast"
    """INT8, weights and activations; the first and the last block in bfloat16."""
    FAST_FP8 = "fast-fp8"
    """The same in FP8."""


class Attention(StrEnum):
    """Which kernel attends."""

    BF16 = "bf16"
    SAGE = "sage"
    """SageAttention 2: half of it in INT8, half in FP8, or in 16 bits where a card has no FP8."""


class Vae(StrEnum):
    """In what a chunk is decoded."""

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"
    TINY = "tiny"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """How a model is run on a card."""

    profile: Profile = Profile.EXACT
    attention: Attention = Attention.BF16
    vae: Vae = Vae.BFLOAT16
    streamed_bytes: float = 0.0
    """Weights that come over the link in each pass; what is resident does not."""
    lanes: int = 1
    """Clips in lockstep: they share what is streamed."""
    elementwise_bytes: float = COMPILED_BYTES


WAYS: Final[Mapping[str, Run]] = MappingProxyType(
    {
        "exact, float32 VAE": Run(vae=Vae.FLOAT32),
        "exact": Run(),
        "fast": Run(profile=Profile.FAST),
        "fast+sage": Run(profile=Profile.FAST, attention=Attention.SAGE),
        "fast+sage, tiny VAE": Run(profile=Profile.FAST, attention=Attention.SAGE, vae=Vae.TINY),
        "fast-fp8+sage": Run(profile=Profile.FAST_FP8, attention=Attention.SAGE),
    }
)
"""What is predicted where nobody says how: by profile; attention and VAE if not in bfloat16."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Measured time over predicted time."""

    compute: float = 1.0
    """Of everything that the transformer computes."""
    low_bit: float = 1.0
    """Of its 8-bit arithmetic, on top of `compute`."""
    link: float = 1.0
    vae_float32: float = 1.0
    vae_bfloat16: float = 1.0
    vae_tiny: float = 1.0

    def vae(self, vae: Vae) -> float:
        """Of a decode."""
        of = {
            Vae.FLOAT32: self.vae_float32,
            Vae.BFLOAT16: self.vae_bfloat16,
            Vae.TINY: self.vae_tiny,
        }
        return of[vae]


AS_PREDICTED: Final = Corrections()
"""None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkTime:
    """Seconds of a card for one chunk of one clip."""

    matmul: float
    attention: float
    elementwise: float
    waiting: float
    """For weights that had not arrived."""
    vae: float

    @property
    def busy(self) -> float:
        """Of the transformer, computing."""
        return self.matmul + self.attention + self.elementwise

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.busy + self.waiting + self.vae

    @property
    def frames_per_second(self) -> float:
        """What the card renders when it does nothing else."""
        return CHUNK_FRAMES / self.seconds


def predict(
    card: Card,
    run: Run,
    model: ModelShape,
    work: Work,
    corrections: Corrections = AS_PREDICTED,
) -> ChunkTime:
    """Seconds for a chunk that is not amplified.

    Raises `ValueError` for steps that the model does not have, and for arithmetic that the card
    does not have.
    """
    parts = ChunkTime(matmul=0, attention=0, elementwise=0, waiting=0, vae=0)
    passes = pass_times(card, run, model, work, corrections)
    for steps, once in zip(steps_of(model, work), passes, strict=True):
        count = steps * model.passes_per_step
        parts = replace(
            parts,
            matmul=parts.matmul + count * once.matmul,
            attention=parts.attention + count * once.attention,
            elementwise=parts.elementwise + count * once.elementwise,
            waiting=parts.waiting + count * once.waiting,
        )
    return replace(parts, vae=vae_seconds(card, run.vae, work) * corrections.vae(run.vae))


def pass_times(
    card: Card,
    run: Run,
    model: ModelShape,
    work: Work,
    corrections: Corrections = AS_PREDICTED,
) -> list[ChunkTime]:
    """Seconds of one pass at each stage, for one of its lanes. Raises like `predict`."""
    history = history_tokens(work)
    return [
        _pass(card, run, model, main, history, corrections) for main in main_tokens(model, work)
    ]


def link_seconds(card: Card, run: Run) -> float:
    """For the weights that are streamed in a pass, for one of its lanes."""
    return run.streamed_bytes / (1e9 * card.link) / run.lanes


def vae_seconds(card: Card, vae: Vae, work: Work) -> float:
    """For the decode of a chunk."""
    tflop = VAE_TFLOP * work.height * work.width / (384 * 640)
    if vae is Vae.FLOAT32:
        return tflop / (card.tf32 * VAE_SHARE)
    return tflop / (card.bf16 * VAE_SHARE) / (TINY_VAE_SPEED if vae is Vae.TINY else 1)


def roofline(peak: float, model: ModelShape, work: Work) -> float:
    """Frames per second that no run can exceed: all arithmetic at `peak` TFLOPS, and no VAE."""
    return CHUNK_FRAMES * peak / tflop_per_chunk(model, work)


def block_bytes(model: ModelShape, profile: Profile) -> float:
    """Bytes of the weights that every pass needs: self-attention, the queries and the output of
    cross-attention, and the feed-forward. Keys and values of a prompt are made once for all."""
    each = 6 * model.dim**2 + 2 * model.dim * model.ffn_dim
    whole = _whole_share(model, profile)
    return model.layers * each * (2 * whole + (1 - whole))


def offloaded(card: Card, run: Run, model: ModelShape) -> Run:
    """The run, with what has no room on the card beside `WORKING_BYTES` streamed in each pass."""
    room = max(0.0, card.vram_gib * 2.0**30 - WORKING_BYTES)
    return replace(run, streamed_bytes=max(0.0, block_bytes(model, run.profile) - room))


def _pass(
    card: Card, run: Run, model: ModelShape, main: int, history: int, corrections: Corrections
) -> ChunkTime:
    """One pass, for one of its lanes."""
    attention_tflop = attention_tflop_per_pass(model, main, history)
    matmul_tflop = tflop_per_pass(model, main, history) - attention_tflop
    whole = _whole_share(model, run.profile)
    slower, low_bit = corrections.compute, corrections.compute * corrections.low_bit
    matmul = slower * whole * matmul_tflop / (card.bf16 * card.matmul_share)
    if whole < 1:
        matmul += low_bit * (1 - whole) * matmul_tflop / _low_bit_tflops(card, run.profile)
    attention = (low_bit if run.attention is Attention.SAGE else slower) * (
        attention_tflop / _attention_tflops(card, run.attention)
    )
    traffic = run.elementwise_bytes * (main + history) * model.dim * model.layers
    elementwise = slower * traffic / (1e9 * card.bandwidth * MEMORY_SHARE)
    busy = matmul + attention + elementwise
    return ChunkTime(
        matmul=matmul,
        attention=attention,
        elementwise=elementwise,
        waiting=max(0.0, corrections.link * link_seconds(card, run) - busy),
        vae=0.0,
    )


def _whole_share(model: ModelShape, profile: Profile) -> float:
    """Of the blocks, those in bfloat16."""
    return 1.0 if profile is Profile.EXACT else min(1.0, WHOLE_BLOCKS / model.layers)


def _low_bit_tflops(card: Card, profile: Profile) -> float:
    peak = card.int8 if profile is Profile.FAST else card.fp8
    if not peak:
        raise ValueError(f"{card.name} has no FP8 arithmetic, which {profile} needs")
    return peak * card.matmul_share * LOW_BIT_SHARE


def _attention_tflops(card: Card, kernel: Attention) -> float:
    if kernel is Attention.BF16:
        return card.bf16 * card.attention_share
    other = card.fp8 or card.bf16
    both = 2 / (1 / card.int8 + 1 / other)  # one half of the work after the other
    return both * card.attention_share * LOW_BIT_SHARE**2
