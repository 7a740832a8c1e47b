"""Where a model's weights live: on the card where they fit, else on the host, streamed.

Streaming is diffusers' group offloading, leaf by leaf with a stream of its own. What a placement
needs is counted from the weights' files before anything is loaded, and told when it is not there.
"""

from __future__ import annotations

import enum
import gc
import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import torch
from diffusers.hooks import apply_group_offloading
from safetensors import SafetensorError, safe_open

from node_agent.models import ModelError
from node_agent.render.memory import release_free_memory

logger = logging.getLogger(__name__)

WORKING_BYTES = 4 << 30
"""GPU memory that a chunk at 640x384 takes beside the weights: activations of the largest stage
and the VAE's decode. Estimated from the shapes; not measured yet."""

STREAMED_BYTES = 1 << 30
"""GPU memory that streamed weights take at any time: the largest leaves, double-buffered."""

PINNED_SHARE = 3.0
"""Host memory of pinned weights over their size, at its peak: the copy that was loaded, and a
pinned one whose pieces are rounded up to powers of two. Helios's users saw 80 to 85 GB for 28.6."""

PAGEABLE_SHARE = 1.1
"""Host memory of weights that are loaded, or pinned piece by piece as they travel; estimated."""

RAM_RESERVE_BYTES = 3 << 30
"""Host memory that stays free for the system, the encoder and the agent."""


class Placement(enum.Enum):
    """Where weights live."""

    RESIDENT = "resident"
    """On the device, always."""
    PINNED = "pinned"
    """On the host in pinned memory; each leaf visits the device when it is needed."""
    PAGEABLE = "pageable"
    """The same from ordinary memory, slower, for hosts with little of it."""


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that is free now, bytes."""

    vram: int
    """Of the device; 0 for a CPU."""
    ram: int


def room(device: torch.device) -> Room:
    """What is free, as the driver and the system say."""
    vram = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else 0
    return Room(vram, psutil.virtual_memory().available)


def give_back(device: torch.device) -> None:
    """Return what was just dropped to the device and the system, before more is asked for."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    release_free_memory()


def choose(
    part: str,
    weights: int,
    free: Room,
    working: int = WORKING_BYTES,
    *,
    made_there: bool = False,
    streamed: bool = False,
) -> Placement:
    """Where `weights` bytes of `part` go on a GPU, beside `working` bytes for its arithmetic.

    `streamed` weights stay on the host, also where the card has room.
    Whatever is loaded passes through the host's memory, except what is `made_there`, on the card.
    Raises `ModelError` with the numbers when there is no place for them.
    """
    ram = int(weights * PAGEABLE_SHARE) + RAM_RESERVE_BYTES
    vram = STREAMED_BYTES + working
    if not streamed and weights + working <= free.vram:
        placement, vram, ram = Placement.RESIDENT, 0, 0 if made_there else ram
    elif int(weights * PINNED_SHARE) + RAM_RESERVE_BYTES <= free.ram:
        placement = Placement.PINNED
    else:
        placement = Placement.PAGEABLE
    lacking = [
        f"{needed / 1e9:.1f} GB of {kind}, {there / 1e9:.1f} GB are free"
        for kind, needed, there in (("GPU memory", vram, free.vram), ("host RAM", ram, free.ram))
        if needed > there
    ]
    if lacking:
        raise ModelError(
            f"the {part} ({weights / 1e9:.1f} GB) does not fit: {placement.value} it needs"
            f" {' and '.join(lacking)}; close what else uses them, or use a larger machine"
        )
    return placement


def offload(module: Any, device: torch.device, placement: Placement) -> None:
    """Keep a module's weights on the host, and stream each leaf when it is needed."""
    apply_group_offloading(
        module,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="leaf_level",
        use_stream=True,
        record_stream=True,
        low_cpu_mem_usage=placement is Placement.PAGEABLE,
    )


def weight_bytes(directory: Path, dtype: torch.dtype) -> int:
    """Bytes that the weights of a model's part take once loaded as `dtype`.

    Read from the safetensors headers alone. What a model keeps in float32 is a thousandth of it
    and not told apart. Raises `ModelError`.
    """
    size = torch.empty((), dtype=dtype).element_size()
    return sum(_elements(path) for path in directory.glob("*.safetensors")) * size


def _elements(path: Path) -> int:
    """Numbers in a safetensors file, told by its header."""
    try:
        with safe_open(path, framework="pt") as file:
            return sum(math.prod(file.get_slice(name).get_shape()) for name in file.keys())  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise ModelError(f"{path}: not a safetensors file ({error}); fetch it again") from error
