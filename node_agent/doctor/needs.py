"""What rendering with Helios needs of a machine, in bytes.

Sizes of weights follow from the model's parameters: 14.3 billion in the transformer, 5.7 billion in
the text encoder, two bytes each in bf16. The two are never in memory together: prompts are encoded
apart. What a profile needs beside its weights is estimated; nothing was measured on an RTX 4060 Ti.
"""

from __future__ import annotations

from typing import Final

TRANSFORMER_BF16: Final = 28_600_000_000
TRANSFORMER_INT8: Final = 17_300_000_000
TEXT_ENCODER_BF16: Final = 11_400_000_000

VRAM_MIN: Final = 6_000_000_000
"""bf16, every weight streamed."""
VRAM_INT8: Final = 8_000_000_000
"""INT8, most of the weights streamed."""
VRAM_COMFORTABLE: Final = 16_000_000_000
VRAM_RESIDENT: Final = 40_000_000_000
"""All of the bf16 transformer stays on the card; nothing is streamed."""

HOST_RAM_BF16: Final = 40_000_000_000
"""The bf16 transformer pinned in host memory, and room for everything else."""
HOST_RAM_INT8: Final = 32_000_000_000
HOST_RAM_RESIDENT: Final = 16_000_000_000
"""Where the card holds the weights, they only pass through, shard by shard."""
HOST_RAM_REHEARSAL: Final = 2_000_000_000
"""A small model or the test card on a CPU slot."""

CAPABILITY_MIN: Final = (8, 0)
"""bfloat16 in hardware: Ampere (RTX 30) and later."""

CUDA_MIN: Final = (13, 0)
"""Of the locked PyTorch build. Any driver of the same major version serves it."""
DRIVER_MIN: Final = 580
"""The first driver branch that serves CUDA 13."""

LANE_BYTES_PER_SECOND: Final = {
    1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9,
}  # fmt: skip
"""PCI Express, one lane in one direction, by generation."""
LINK_EFFICIENCY: Final = 0.82
"""What copies reach of it: 4.0 x8 is 15.8 GB/s on paper and gives about 13."""
LINK_GOOD: Final = 12.5e9
"""Streams the bf16 transformer in 2.3 s a pass; a slot slower than this is what one waits for."""
LINK_MIN: Final = 3.0e9
"""Below (riser cards with one lane) a pass waits 10 s and more for its weights."""
