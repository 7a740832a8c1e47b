"""safetensors files cast to another type while they are copied, a few rows at a time.

The library writes a file from tensors that are all in memory, 5 GB and more for a shard of
Helios. Here memory holds one block of one tensor.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final

import torch
from safetensors import safe_open

from node_agent.files import atomic_path

BLOCK_BYTES: Final = 64 << 20
_BYTES_OF: Final = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
TORCH: Final = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor of a file that is to be written."""

    name: str
    shape: tuple[int, ...]
    before: str
    """Its type in the source, by safetensors' name: "F32"."""
    after: str

    @property
    def size(self) -> int:
        """Bytes that it will take."""
        return math.prod(self.shape) * _BYTES_OF[self.after]


@dataclass(frozen=True, slots=True)
class Shard:
    """A file that is to be written, and its source."""

    source: Path
    tensors: tuple[Tensor, ...]
    header: bytes

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return len(self.header) + self.weights

    @property
    def weights(self) -> int:
        """Bytes of its tensors."""
        return sum(tensor.size for tensor in self.tensors)


def plan_shard(source: Path, target_type: Callable[[str], str]) -> Shard:
    """What a shard becomes; `target_type` says a tensor's new type by its name.

    Raises ValueError for a tensor that is not of floating point numbers.
    """
    with safe_open(source, framework="pt") as file:
        tensors = []
        for name in file.keys():  # noqa: SIM118 - it is no mapping
            part = file.get_slice(name)
            if part.get_dtype() not in _BYTES_OF:
                raise ValueError(f"{source}: {name} is of type {part.get_dtype()}, no float")
            shape = tuple(part.get_shape())
            tensors.append(Tensor(name, shape, part.get_dtype(), target_type(name)))
        metadata = file.metadata() or {"format": "pt"}
    # Wide types first, as the library does: every tensor is aligned to its type.
    tensors.sort(key=lambda tensor: (-_BYTES_OF[tensor.after], tensor.name))
    return Shard(source, tuple(tensors), _header(tensors, metadata))


def write_shard(shard: Shard, target: Path, tell: Callable[[int], None]) -> None:
    """Write the file, whole or not at all; `tell` is told of the bytes written."""
    with atomic_path(target) as temporary, temporary.open("wb") as out:
        out.write(shard.header)
        with safe_open(shard.source, framework="pt") as file:
            for tensor in shard.tensors:
                _copy(file, tensor, out, tell)


def any_nonzero(source: Path, name: str) -> bool:
    """Whether a tensor is anything but zeros."""
    with safe_open(source, framework="pt") as file:
        shape = tuple(file.get_slice(name).get_shape())
        tensor = Tensor(name, shape, file.get_slice(name).get_dtype(), "F32")
        return any(bool(block.any()) for block in _blocks(file, tensor))


def _header(tensors: list[Tensor], metadata: dict[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": metadata}
    offset = 0
    for tensor in tensors:
        entries[tensor.name] = {
            "dtype": tensor.after,
            "shape": tensor.shape,
            "data_offsets": [offset, offset + tensor.size],
        }
        offset += tensor.size
    text = json.dumps(entries, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _copy(file: Any, tensor: Tensor, out: IO[bytes], tell: Callable[[int], None]) -> None:
    for block in _blocks(file, tensor):
        cast = block.to(TORCH[tensor.after]).contiguous().reshape(-1)
        out.write(cast.view(torch.uint8).numpy().data)
        tell(cast.nbytes)


def _blocks(file: Any, tensor: Tensor) -> Any:
    """A tensor's rows, as many at a time as fit into a block."""
    if not tensor.shape:
        yield file.get_tensor(tensor.name)
        return
    row = max(math.prod(tensor.shape[1:]) * _BYTES_OF[tensor.before], 1)
    rows = max(BLOCK_BYTES // row, 1)
    part = file.get_slice(tensor.name)
    for start in range(0, tensor.shape[0], rows):
        yield part[start : start + rows]
