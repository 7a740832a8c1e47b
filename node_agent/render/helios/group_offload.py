"""diffusers' group offloading: what its weights take on the host, and where they fit.

Leaf by leaf with a stream of its own. It serves the text encoder, which works for seconds at a
time, and the measurements of the stock pipeline; the transformer is streamed by `slabs`.
"""

from __future__ import annotations

import enum
from typing import Any

import torch
from diffusers.hooks import apply_group_offloading

from node_agent.models import ModelError
from node_agent.render.helios.placement import Room
from node_agent.render.helios.slabs.plan import RAM_RESERVE_BYTES

STREAMED_BYTES = 1 << 30
"""GPU memory that streamed weights take at any time: the largest leaves, double-buffered."""

PINNED_SHARE = 3.0
"""Host memory of pinned weights over their size, at its peak: the copy that was loaded, and a
pinned one whose pieces are rounded up to powers of two. Helios's users saw 80 to 85 GB for 28.6."""

PAGEABLE_SHARE = 1.1
"""Host memory of weights that are loaded, or pinned piece by piece as they travel; estimated."""


class Offload(enum.Enum):
    """Where weights live."""

    RESIDENT = "resident"
    """On the device, always."""
    PINNED = "pinned"
    """On the host in pinned memory; each leaf visits the device when it is needed."""
    PAGEABLE = "pageable"
    """The same from ordinary memory, slower, for hosts with little of it."""


def choose(part: str, weights: int, free: Room, working: int) -> Offload:
    """Where `weights` bytes of `part` go on a GPU, beside `working` bytes for its arithmetic.

    Whatever is loaded passes through the host's memory. Raises `ModelError` with the numbers when
    there is no place for them.
    """
    ram = int(weights * PAGEABLE_SHARE) + RAM_RESERVE_BYTES
    vram = STREAMED_BYTES + working
    if weights + working <= free.vram:
        chosen, vram = Offload.RESIDENT, 0
    elif pinned_bytes(weights) <= free.ram:
        chosen = Offload.PINNED
    else:
        chosen = Offload.PAGEABLE
    lacking = [
        f"{needed / 1e9:.1f} GB of {kind}, {there / 1e9:.1f} GB are free"
        for kind, needed, there in (("GPU memory", vram, free.vram), ("host RAM", ram, free.ram))
        if needed > there
    ]
    if lacking:
        raise ModelError(
            f"the {part} ({weights / 1e9:.1f} GB) does not fit: {chosen.value} it needs"
            f" {' and '.join(lacking)}; close what else uses them, or use a larger machine"
        )
    return chosen


def pinned_bytes(weights: int) -> int:
    """Free host memory that `weights` bytes need in order to be pinned."""
    return int(weights * PINNED_SHARE) + RAM_RESERVE_BYTES


def offload(module: Any, device: torch.device, how: Offload) -> None:
    """Keep a module's weights on the host, and stream each leaf when it is needed."""
    apply_group_offloading(
        module,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=True,
        record_stream=True,
        low_cpu_mem_usage=how is Offload.PAGEABLE,
    )
