"""How long a card takes for a chunk: from arithmetic, bytes, peaks and their use. Pure.

A pass of the transformer is matrix products, attention, and what is done element by element between
them; meanwhile the weights that have no room on the card come over its link, and the pass ends when
both have ended. After the passes the VAE decodes the chunk. Everything else (encode, upload) runs
beside the next chunk and takes no time of the card.

    pass  = max(matmul + attention + elementwise, streamed bytes / link)
    chunk = sum of passes + VAE

All figures are *predicted* until `fitted` has seen measurements of the card.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import median
from typing import Final

from farm.domain.clip import CHUNK_FRAMES, Work
from farm.plan.card_table import Card
from farm.plan.economics import (
    ModelShape,
    attention_tflop_per_pass,
    history_tokens,
    main_tokens,
    steps_of,
    tflop_per_pass,
)

COMPACT_BYTES: Final = 64.0
"""Traffic of memory per token, channel and block beside matrix products and attention: 3.6 GB in a
block of the full stage. Estimated by counting the reads and writes of our forward."""
STOCK_BYTES: Final = 390.0
"""The same of the stock forward, which expands modulation to every token: 22 GB."""
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
WORKING_BYTES: Final = 5 * 2.0**30
"""GPU memory that a chunk at 640x384 takes beside weights, and what streams them. Estimated."""
MEMORY_SHARE: Final = 0.9
"""Of its memory's bandwidth that elementwise kernels reach. Estimated."""


class Matmul(StrEnum):
    """In what matrix products are computed."""

    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"


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

    matmul: Matmul = Matmul.BF16
    attention: Attention = Attention.BF16
    vae: Vae = Vae.BFLOAT16
    streamed_bytes: float = 0.0
    """Weights that come over the link in each pass; what is resident does not."""
    lanes: int = 1
    """Clips in lockstep: they share what is streamed."""
    elementwise_bytes: float = COMPACT_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrections:
    """Measured time over predicted time, of the transformer, of the VAE and of the link."""

    compute: float = 1.0
    vae: float = 1.0
    link: float = 1.0


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
    def seconds(self) -> float:
        """All of it."""
        return self.matmul + self.attention + self.elementwise + self.waiting + self.vae

    @property
    def frames_per_second(self) -> float:
        """What the card renders when it does nothing else."""
        return CHUNK_FRAMES / self.seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A steady chunk of one lane, as it was measured."""

    run: Run
    work: Work
    seconds: float
    vae_seconds: float
    """Of `seconds`, what the decode took."""


def predict(
    card: Card,
    run: Run,
    model: ModelShape,
    work: Work,
    corrections: Corrections = Corrections(),
) -> ChunkTime:
    """Seconds for a chunk that is not amplified.

    Raises `ValueError` for steps that the model does not have, and for arithmetic that the card
    does not have.
    """
    history = history_tokens(work)
    parts = ChunkTime(matmul=0, attention=0, elementwise=0, waiting=0, vae=0)
    for steps, main in zip(steps_of(model, work), main_tokens(model, work), strict=True):
        once = _pass(card, run, model, main, history, corrections)
        passes = steps * model.passes_per_step
        parts = replace(
            parts,
            matmul=parts.matmul + passes * once.matmul,
            attention=parts.attention + passes * once.attention,
            elementwise=parts.elementwise + passes * once.elementwise,
            waiting=parts.waiting + passes * once.waiting,
        )
    return replace(parts, vae=_vae_seconds(card, run.vae, work) * corrections.vae)


def block_bytes(model: ModelShape, arithmetic: Matmul) -> float:
    """Bytes of the weights that every pass needs: self-attention, the queries and the output of
    cross-attention, and the feed-forward. Keys and values of a prompt are made once for all."""
    each = 6 * model.dim**2 + 2 * model.dim * model.ffn_dim
    return model.layers * each * (2 if arithmetic is Matmul.BF16 else 1)


def offloaded(card: Card, run: Run, model: ModelShape) -> Run:
    """The run, with what has no room on the card beside `WORKING_BYTES` streamed in each pass."""
    room = max(0.0, card.vram_gib * 2.0**30 - WORKING_BYTES)
    return replace(run, streamed_bytes=max(0.0, block_bytes(model, run.matmul) - room))


def fitted(card: Card, model: ModelShape, measured: Sequence[Measured]) -> Corrections:
    """What makes the predictions those that were measured: two measurements are enough.

    Where weights were streamed and computing cannot explain the time, the link was the slower one.
    """
    vae = median(m.vae_seconds / _vae_seconds(card, m.run.vae, m.work) for m in measured)
    by_compute = [m for m in measured if not predict(card, m.run, model, m.work).waiting]
    by_link = [m for m in measured if predict(card, m.run, model, m.work).waiting]
    compute = median([_ratio(card, model, m) for m in by_compute] or [1.0])
    guess = Corrections(compute=compute, vae=vae)
    links = [_link_ratio(card, model, m, guess) for m in by_link]
    return replace(guess, link=median(links or [1.0]))


def _pass(
    card: Card, run: Run, model: ModelShape, main: int, history: int, corrections: Corrections
) -> ChunkTime:
    """One pass, for one of its lanes."""
    attention_tflop = attention_tflop_per_pass(model, main, history)
    matmul_tflop = tflop_per_pass(model, main, history) - attention_tflop
    slower = corrections.compute
    matmul = slower * matmul_tflop / _matmul_tflops(card, run.matmul)
    attention = slower * attention_tflop / _attention_tflops(card, run.attention)
    traffic = run.elementwise_bytes * (main + history) * model.dim * model.layers
    elementwise = slower * traffic / (1e9 * card.bandwidth * MEMORY_SHARE)
    busy = matmul + attention + elementwise
    link = corrections.link * run.streamed_bytes / (1e9 * card.link) / run.lanes
    return ChunkTime(
        matmul=matmul,
        attention=attention,
        elementwise=elementwise,
        waiting=max(0.0, link - busy),
        vae=0.0,
    )


def _matmul_tflops(card: Card, arithmetic: Matmul) -> float:
    peak: float = {Matmul.BF16: card.bf16, Matmul.FP8: card.fp8, Matmul.INT8: card.int8}[arithmetic]
    if not peak:
        raise ValueError(f"{card.name} has no {arithmetic} arithmetic")
    return peak * card.matmul_share * (1 if arithmetic is Matmul.BF16 else LOW_BIT_SHARE)


def _attention_tflops(card: Card, kernel: Attention) -> float:
    if kernel is Attention.BF16:
        return card.bf16 * card.attention_share
    other = card.fp8 or card.bf16
    both = 2 / (1 / card.int8 + 1 / other)  # one half of the work after the other
    return both * card.attention_share * LOW_BIT_SHARE**2


def _vae_seconds(card: Card, vae: Vae, work: Work) -> float:
    tflop = VAE_TFLOP * work.height * work.width / (384 * 640)
    if vae is Vae.FLOAT32:
        return tflop / (card.tf32 * VAE_SHARE)
    return tflop / (card.bf16 * VAE_SHARE) / (TINY_VAE_SPEED if vae is Vae.TINY else 1)


def _ratio(card: Card, model: ModelShape, m: Measured) -> float:
    predicted = predict(card, m.run, model, m.work)
    return (m.seconds - m.vae_seconds) / (predicted.seconds - predicted.vae)


def _link_ratio(card: Card, model: ModelShape, m: Measured, guess: Corrections) -> float:
    """By bisection, for passes wait for the link or not, each for itself."""
    low, high = 0.1, 10.0
    for _ in range(40):
        middle = math.sqrt(low * high)
        tried = predict(card, m.run, model, m.work, replace(guess, link=middle))
        if tried.seconds - tried.vae < m.seconds - m.vae_seconds:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)
