"""A block's tensors as views of one contiguous slab of bytes.

Every tensor keeps its type, so float32 tables lie beside bfloat16 matrices. A tensor that is made
of others, as quantised ones are, is taken apart by the protocol that PyTorch has for this
(`__tensor_flatten__`), and put together again over views of the parts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

ALIGNMENT = 256
"""Bytes; where CUDA's own allocations begin, so that kernels choose as they do for these."""


class Place(Protocol):
    """Where a tensor lies in a slab."""

    def view(self, slab: Tensor) -> Tensor:
        """The tensor, over the slab's bytes."""
        ...

    def write(self, slab: Tensor, tensor: Tensor) -> None:
        """Copy a tensor's numbers there, unless that is where they are."""
        ...


@dataclass(frozen=True, slots=True)
class Plain:
    """The place of a plain tensor."""

    offset: int
    size: int
    """Bytes."""
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype

    def view(self, slab: Tensor) -> Tensor:
        """See `Place`."""
        numbers = slab[self.offset : self.offset + self.size].view(self.dtype)
        return numbers.as_strided(self.shape, self.stride)

    def write(self, slab: Tensor, tensor: Tensor) -> None:
        """See `Place`."""
        view = self.view(slab)
        if tensor.device != view.device or tensor.data_ptr() != view.data_ptr():
            view.copy_(tensor)


@dataclass(frozen=True, slots=True)
class Compound:
    """The place of a tensor that is made of others."""

    kind: Any
    context: Any
    """What its class wants to know to put it together."""
    shape: torch.Size
    stride: tuple[int, ...]
    parts: tuple[tuple[str, Place], ...]
    """By the names of its attributes."""

    def view(self, slab: Tensor) -> Tensor:
        """See `Place`."""
        parts = {name: place.view(slab) for name, place in self.parts}
        whole: Tensor = self.kind.__tensor_unflatten__(parts, self.context, self.shape, self.stride)
        return whole

    def write(self, slab: Tensor, tensor: Tensor) -> None:
        """See `Place`."""
        for name, place in self.parts:
            place.write(slab, getattr(tensor, name))


@dataclass(frozen=True, slots=True)
class Layout:
    """Places for named tensors, one after another."""

    size: int
    """Bytes of a slab."""
    places: Mapping[str, Place]

    @classmethod
    def of(cls, tensors: Mapping[str, Tensor]) -> Layout:
        """For tensors like these; they may be without memory (meta)."""
        end, places = 0, {}
        for name, tensor in tensors.items():
            places[name], end = _place(tensor, end)
        return cls(_aligned(end), places)

    def views(self, slab: Tensor) -> dict[str, Tensor]:
        """Every tensor, over the bytes of `slab` (size,), uint8."""
        return {name: place.view(slab) for name, place in self.places.items()}

    def write(self, slab: Tensor, tensors: Mapping[str, Tensor]) -> None:
        """Copy the tensors' numbers into `slab`, those that are not there already."""
        for name, place in self.places.items():
            place.write(slab, tensors[name])


def tensors_of(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers by name; one that has two names comes twice."""
    parameters = module.named_parameters(remove_duplicate=False)
    return {**dict(parameters), **dict(module.named_buffers(remove_duplicate=False))}


def _place(tensor: Tensor, begin: int) -> tuple[Place, int]:
    """A tensor's place from `begin` on, and where it ends."""
    if is_traceable_wrapper_subclass(tensor):
        names, context = tensor.__tensor_flatten__()
        parts = []
        for name in names:
            place, begin = _place(getattr(tensor, name), begin)
            parts.append((name, place))
        whole = Compound(type(tensor), context, tensor.shape, tensor.stride(), tuple(parts))
        return whole, begin
    begin = _aligned(begin)
    dense = torch.empty_like(tensor, device="meta")  # keeps strides that leave no gaps
    size = dense.numel() * dense.element_size()
    place = Plain(begin, size, tuple(dense.shape), dense.stride(), dense.dtype)
    return place, begin + size


def _aligned(offset: int) -> int:
    return -(-offset // ALIGNMENT) * ALIGNMENT
