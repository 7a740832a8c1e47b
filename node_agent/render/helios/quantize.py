"""Weights in fewer bits: which they are, the places that they land in, and their numbers.

torchao (BSD-3-Clause) gives the tensors and their products. A row's numbers are its own: they are
reckoned here, from the weight as bfloat16 and by operations that every processor rounds alike, so
that they come out the same on a CPU and on a GPU, at once or a few rows at a time.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from node_agent.models import ModelError
from node_agent.render.helios.rounding import quantised
from node_agent.render.profiles import Profile

NUMBERS: Final = {"int8": torch.int8, "float8": torch.float8_e4m3fn}
"""Of a profile's arithmetic."""
MULTIPLE: Final = {"int8": 8, "float8": 16}
"""What both sides of a matrix must be multiples of, for the card's products."""
PARTS: Final = ("qdata", "scale")
"""Of a quantised weight: numbers (rows, columns), and float32 (rows, 1) that they are to be
multiplied by."""

_BLOCK: Final = 1 << 24
"""Numbers that are reckoned at a time: 64 MB as float32."""
_MATRIX: Final = re.compile(
    r"blocks\.(\d+)\."
    r"(attn1\.to_(q|k|v|out\.0)|attn2\.to_(q|out\.0)|ffn\.net\.(0\.proj|2))\.weight"
)
"""What every token meets in every pass. Norms, tables and biases are small; what a prompt meets
once, and what stands before and after the blocks, costs next to nothing as it is."""


def matrices(names: Iterable[str], layers: int, profile: Profile) -> list[str]:
    """The names of those weights, of a transformer with `layers` blocks, that lose bits."""
    if not profile.lossy:
        return []
    kept = range(profile.ends_whole, layers - profile.ends_whole)
    return [name for name in names if (at := _MATRIX.fullmatch(name)) and int(at[1]) in kept]


def lay_out(stock: Any, profile: Profile) -> None:
    """Give a transformer without memory (meta) the places that a profile's weights have.

    Raises `ModelError` where torchao is missing, or the model's shape does not allow it.
    """
    for name in matrices(
        [name for name, _ in stock.named_parameters()], len(stock.blocks), profile
    ):
        path, _, own_name = name.rpartition(".")
        owner = stock.get_submodule(path)
        place = _place(getattr(owner, own_name), name, profile)
        setattr(owner, own_name, nn.Parameter(place, requires_grad=False))


def is_quantised(place: Tensor) -> bool:
    """Whether a place is one of fewer bits; its `dtype` is then that of the products' results."""
    return is_traceable_wrapper_subclass(place)


def write(place: Tensor, weights: Tensor, worker: torch.device) -> None:
    """Whole weights into a place of their shape; `worker` is the device that reckons.

    Beside the weights it takes some 200 MB at a time.
    """
    if not is_quantised(place):
        place.copy_(weights)
        return
    write_parts(_parts(place), weights, worker)


def write_parts(parts: tuple[Tensor, Tensor], weights: Tensor, worker: torch.device) -> None:
    """What `PARTS` are of whole weights, into their places."""
    numbers, scales = parts
    rows = max(1, _BLOCK // weights.shape[1])
    for begin in range(0, len(weights), rows):
        these = slice(begin, begin + rows)
        part = weights[these].to(worker, torch.bfloat16).float()
        found, scale = quantised(part, numbers.dtype)
        numbers[these].copy_(found)
        scales[these].copy_(scale)


def empty_parts(shape: Sequence[int], profile: Profile, device: str) -> tuple[Tensor, Tensor]:
    """Room for the `PARTS` of a weight of this shape."""
    numbers = torch.empty(*shape, dtype=NUMBERS[profile.arithmetic], device=device)
    return numbers, torch.empty(shape[0], 1, dtype=torch.float32, device=device)


def put(place: Tensor, parts: Mapping[str, Tensor]) -> None:
    """The parts of a quantised weight, as they are, into its place."""
    for part, there in zip(PARTS, _parts(place), strict=True):
        there.copy_(parts[part])


def _place(weight: Tensor, name: str, profile: Profile) -> Tensor:
    """A quantised tensor in the place of a whole one, on the meta device."""
    by = MULTIPLE[profile.arithmetic]
    if any(side % by for side in weight.shape):
        raise ModelError(
            f"the profile {profile.name} multiplies matrices whose sides are multiples of {by};"
            f" {name} is {tuple(weight.shape)}; use the profile exact"
        )
    numbers, scale = empty_parts(weight.shape, profile, "meta")
    try:
        from node_agent.render.helios import low_bits  # torchao takes a second to import
    except ImportError as error:
        raise ModelError(
            f"the profile {profile.name} needs torchao ({error}): pip install 'heliostat[node]'"
        ) from error
    tensor: Tensor = low_bits.tensor(numbers, scale, weight.dtype)
    return tensor


def _parts(place: Any) -> tuple[Tensor, Tensor]:
    return place.qdata, place.scale
