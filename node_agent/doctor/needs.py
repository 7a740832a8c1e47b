"""What rendering with Helios needs of a machine, in bytes: reckoned as a render child does.

Sizes are the 14B model's; a test counts them again. What a chunk takes beside its weights is
estimated; nothing was measured on an RTX 4060 Ti. Nothing here imports PyTorch.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Final

from node_agent.models import ModelError
from node_agent.render.helios.slabs.plan import (
    RAM_RESERVE_BYTES,
    WORKING_BYTES,
    Budget,
    Plan,
    Sizes,
    plan,
    smallest,
)
from node_agent.render.profiles import EXACT, FAST

_FIXED, _PROMPT = 474_009_984, 4_289_925_120
_WHOLE, _INT8 = 597_982_208, 299_336_704
SIZES: Final[Mapping[str, Sizes]] = {
    EXACT.name: Sizes(fixed=_FIXED, blocks=(_WHOLE,) * 40, prompt=_PROMPT),
    FAST.name: Sizes(fixed=_FIXED, blocks=(_WHOLE, *(_INT8,) * 38, _WHOLE), prompt=_PROMPT),
}
"""Of the transformer, by profile; `fast-fp8` takes what `fast` takes."""

CUDA_BYTES: Final = 500_000_000
"""Of a card: what CUDA takes for itself; estimated."""
VRAM_MIN: Final = smallest(SIZES[FAST.name]).vram_bytes + WORKING_BYTES + CUDA_BYTES
"""Every block streamed; `exact` needs no more, for the blocks at the ends are alike."""

TEXT_ENCODER_BF16: Final = 11_400_000_000
"""5.7 billion parameters; gone from memory before a clip renders."""
HOST_RAM_ENCODER: Final = int(1.1 * TEXT_ENCODER_BF16) + RAM_RESERVE_BYTES
"""It passes through the host, or stays there: see `group_offload.choose`."""
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
"""Streams all blocks of `exact` in 1.9 s; a slot slower than this is what one waits for."""
LINK_MIN: Final = 3.0e9
"""Below (riser cards with one lane) a pass waits 8 s and more for its weights."""


def placed(profile: str, vram: int) -> Plan:
    """Where a profile's weights go on a card with `vram` bytes, whatever the host has.

    All blocks are streamed where the card has no room even for that.
    """
    budget = Budget(vram=vram - CUDA_BYTES, ram=sys.maxsize, working=WORKING_BYTES)
    try:
        return plan(SIZES[profile], budget)
    except ModelError:
        return smallest(SIZES[profile])


def weights_on_host(profile: str, cards: Sequence[int]) -> int:
    """Host memory for what all cards, of so many bytes each, stream in a profile."""
    return sum(placed(profile, vram).ram_bytes for vram in cards)


def host_ram(profile: str, cards: Sequence[int]) -> int:
    """Host memory with which all cards render in a profile; without cards, for a rehearsal."""
    if not cards:
        return HOST_RAM_REHEARSAL
    return max(weights_on_host(profile, cards) + RAM_RESERVE_BYTES, HOST_RAM_ENCODER)
