"""What cards are made of: peaks of arithmetic, memory and link, each with its source. Pure.

Peaks are dense (no sparsity), at the boost clock that the vendor states, with sums in float32
where the arithmetic is of floating point. `farm.plan.card_time` says what becomes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

ADA: Final = (
    "NVIDIA Ada GPU architecture whitepaper, appendix A, scaled by multiprocessors and clock"
)
AMPERE: Final = (
    "NVIDIA GA102 GPU architecture whitepaper, table 2, scaled by multiprocessors and clock"
)
BLACKWELL: Final = "NVIDIA RTX Blackwell GPU architecture whitepaper, appendix A"


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One type of card."""

    name: str
    compute_capability: tuple[int, int]
    vram_gib: int
    tf32: float
    """TFLOPS: what convolutions in float32 use."""
    bf16: float
    fp8: float
    """TFLOPS; 0 where it has none."""
    int8: float
    """TOPS."""
    bandwidth: float
    """GB/s of its memory."""
    link: float
    """GB/s from pinned host memory to the card: four fifths of PCIe 4.0 x8 (13), 4.0 x16 (25) or
    5.0 x16 (50), as copies reach it. Estimated."""
    matmul_share: float
    """Of the peak that large matrix products reach, for as long as it renders (power and clocks
    counted in). Estimated; with an H100's its published frame rate comes out within 6%."""
    attention_share: float
    """The same of the attention kernel. Estimated where `source` does not say otherwise."""
    watts: float
    """Board limit."""
    source: str


def _ada(
    name: str, vram_gib: int, bf16: float, bandwidth: float, link: float, watts: float
) -> Card:
    """A GeForce of that architecture: fixed ratios between its kinds of arithmetic.

    The shares of the peak are set so that they give the estimates of the design's roofline; an
    RTX 4060 was measured at its whole peak (31.0 TFLOPS, triton issue 10851), so they are careful.
    """
    return Card(
        name=name, compute_capability=(8, 9), vram_gib=vram_gib, tf32=bf16 / 2, bf16=bf16,
        fp8=2 * bf16, int8=4 * bf16, bandwidth=bandwidth, link=link, matmul_share=0.88,
        attention_share=0.88, watts=watts, source=ADA,
    )  # fmt: skip


CARDS: Final[Mapping[str, Card]] = MappingProxyType(
    {
        card.name: card
        for card in (
            _ada("rtx-4060-ti", 16, bf16=44.1, bandwidth=288, link=13, watts=165),
            _ada("rtx-4060-ti-8gb", 8, bf16=44.1, bandwidth=288, link=13, watts=160),
            _ada("rtx-4070-ti-super", 16, bf16=88.2, bandwidth=672, link=25, watts=285),
            _ada("rtx-4090", 24, bf16=165.2, bandwidth=1008, link=25, watts=450),
            Card(
                name="rtx-3060", compute_capability=(8, 6), vram_gib=12, tf32=12.7, bf16=25.5,
                fp8=0, int8=102, bandwidth=360, link=25, matmul_share=0.88, attention_share=0.8,
                watts=170, source=AMPERE,
            ),
            Card(
                name="rtx-3090", compute_capability=(8, 6), vram_gib=24, tf32=35.6, bf16=71,
                fp8=0, int8=284, bandwidth=936, link=25, matmul_share=0.88, attention_share=0.8,
                watts=350, source=AMPERE,
            ),
            Card(
                name="rtx-5090", compute_capability=(12, 0), vram_gib=32, tf32=104.8, bf16=209.5,
                fp8=419, int8=838, bandwidth=1792, link=50, matmul_share=0.85,
                attention_share=0.8, watts=575, source=BLACKWELL,
            ),
            Card(
                name="l4", compute_capability=(8, 9), vram_gib=24, tf32=60, bf16=121, fp8=242,
                int8=242, bandwidth=300, link=25, matmul_share=0.5, attention_share=0.5, watts=72,
                source="NVIDIA L4 datasheet, halved where it counts sparsity; 72 W hold its clocks "
                "down (shares assumed)",
            ),
            Card(
                name="a100", compute_capability=(8, 0), vram_gib=80, tf32=156, bf16=312, fp8=0,
                int8=624, bandwidth=2039, link=25, matmul_share=0.8, attention_share=0.6, watts=400,
                source="NVIDIA A100 datasheet, SXM, 80 GB; attention: FlashAttention-2's paper",
            ),
            Card(
                name="h100", compute_capability=(9, 0), vram_gib=80, tf32=494.7, bf16=989.4,
                fp8=1978.9, int8=1978.9, bandwidth=3350, link=50, matmul_share=0.68,
                attention_share=0.5, watts=700,
                source="NVIDIA H100 datasheet, SXM, halved where it counts sparsity; attention: "
                "FlashAttention-3's paper on FlashAttention-2 and cuDNN",
            ),
            Card(
                name="h200", compute_capability=(9, 0), vram_gib=141, tf32=494.7, bf16=989.4,
                fp8=1978.9, int8=1978.9, bandwidth=4800, link=50, matmul_share=0.68,
                attention_share=0.5, watts=700,
                source="NVIDIA H200 datasheet, SXM, halved where it counts sparsity",
            ),
        )
    }
)  # fmt: skip
"""By name, as nodes call their cards. Shares of the peak are estimated until a card is measured."""


def card_of(kind: str, vram_bytes: int) -> Card | None:
    """The card that a driver calls so, told from others of its kind by its memory; None if unknown.

    `kind` is as `node_agent.telemetry.card_type` gives it.
    """
    return CARDS.get(f"{kind}-{round(vram_bytes / 2**30)}gb") or CARDS.get(kind)
