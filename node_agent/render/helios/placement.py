"""Where a model's weights live: on the card where they fit, else in part on the host, streamed.

What a placement needs is counted before anything is loaded, and told when it is not there.
"""

from __future__ import annotations

import gc
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch
from safetensors import SafetensorError, safe_open

from node_agent.models import ModelError
from node_agent.render.helios.slabs.plan import (
    RAM_RESERVE_BYTES,
    WORKING_BYTES,
    Budget,
    Plan,
    Sizes,
    plan,
)
from node_agent.render.memory import release_free_memory

logger = logging.getLogger(__name__)

TILED_BELOW_BYTES = 10 << 30
"""A card, or a cap, of less decodes in tiles: beside the weights it has little more than
`WORKING_BYTES`, of which a decode of a whole 640x384 chunk in bfloat16 takes an estimated 2.5 GB
(the last convolutions hold 96 to 192 channels of four frames at full size, and remember two more),
tiles of 256x256 about a quarter. Estimated from the shapes; not measured yet."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the transformer's blocks live."""

    blocks: int
    resident: int
    """Of the blocks, those that are always on the device; the others are streamed."""
    bytes_streamed: int
    """Of the others together: what comes over the link in every pass."""

    @property
    def name(self) -> str:
        """`resident`, `partly streamed` or `streamed`."""
        if self.resident == self.blocks:
            return "resident"
        return "partly streamed" if self.resident else "streamed"

    def __str__(self) -> str:
        if self.resident == self.blocks:
            return self.name
        return f"streamed, {self.resident} of {self.blocks} blocks stay on the card"


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that this process may take, bytes; None is what is free."""

    vram: int | None = None
    ram: int | None = None

    def hold(self, device: torch.device) -> None:
        """Have PyTorch refuse GPU memory beyond the cap; CUDA's own half gigabyte is not in it."""
        if self.vram is not None and device.type == "cuda":
            total = torch.cuda.mem_get_info(device)[1]
            torch.cuda.set_per_process_memory_fraction(min(1.0, self.vram / total), device)

    def tight(self, device: torch.device) -> bool:
        """Whether a GPU has so little memory that it decodes in tiles."""
        if device.type != "cuda":
            return False
        total = torch.cuda.mem_get_info(device)[1]
        return min(total, self.vram or total) < TILED_BELOW_BYTES


@dataclass(frozen=True, slots=True)
class Room:
    """Memory that may be taken now, bytes."""

    vram: int
    """Of the device; 0 for a CPU, unless a cap stands in for it."""
    ram: int


def room(device: torch.device, caps: Caps | None = None) -> Room:
    """What is free, as the driver and the system say, and what is left of the caps."""
    caps = caps or Caps()
    ram = psutil.virtual_memory().available
    if caps.ram is not None:
        ram = max(0, min(ram, caps.ram - psutil.Process().memory_info().rss))
    if device.type != "cuda":
        return Room(caps.vram or 0, ram)
    vram = torch.cuda.mem_get_info(device)[0]
    if caps.vram is not None:
        vram = max(0, min(vram, caps.vram - torch.cuda.memory_reserved(device)))
    return Room(vram, ram)


def give_back(device: torch.device) -> None:
    """Return what was just dropped to the device and the system, before more is asked for."""
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
    release_free_memory()


def plan_for(sizes: Sizes, free: Room, *, streamed: bool = False) -> Plan:
    """Where the transformer's weights go on a GPU; `streamed` leaves it as much room as can be.

    Raises `ModelError` with the numbers when there is no place for them.
    """
    budget = Budget(vram=free.vram, ram=free.ram, working=WORKING_BYTES, reserve=RAM_RESERVE_BYTES)
    return plan(sizes, budget, least=streamed)


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
