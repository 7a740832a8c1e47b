"""Which attention kernel serves, and the call of it that a compiled block can hold.

All kernels are diffusers' (`attention_dispatch`). PyTorch's own choice (`native`) is traced with
the block. The others stay opaque to the compiler: their Python asks for the card's architecture
and calls extensions that cannot be traced, or chooses a kernel by a global switch.
"""

from __future__ import annotations

import logging
from functools import cache
from typing import Final

import torch
from diffusers.models.attention_dispatch import (
    AttentionBackendName,
    _check_attention_backend_requirements,
    dispatch_attention_fn,
)
from torch import Tensor

logger = logging.getLogger(__name__)

NATIVE: Final = "native"
CUDNN: Final = "_native_cudnn"
FLASH_3: Final = "_flash_3"
SAGE: Final = "sage"

CUDNN_SOUND: Final = 91501
"""cuDNN 9.15.1: before it, lengths that 128 does not divide could read what is not theirs
(pytorch/pytorch#169849)."""
_TRIAL_SHAPE: Final = (1, 192, 2, 128)
"""A length that 128 does not divide, and heads of the real model's size."""
_TRIAL_ERROR_MAX: Final = 0.2
"""Of the difference from `native`, relative to its norm: lossy kernels stay below 0.05, what a card
cannot run comes out as noise or not at all."""


def candidates(
    capability: tuple[int, int], dtype: torch.dtype, cudnn_version: int, *, lossy: bool
) -> tuple[str, ...]:
    """Backends for a CUDA card's self-attention, the best first; `native` is always the last.

    docs/rendering.md has the reasons. `cudnn_version` is as `torch.backends.cudnn.version()` has
    it, 0 for none.
    """
    names: list[str] = []
    if dtype in (torch.bfloat16, torch.float16):
        if lossy and capability >= (8, 0):
            names.append(SAGE)
        if capability in ((8, 6), (8, 9)) and cudnn_version >= CUDNN_SOUND:
            names.append(CUDNN)
        if capability == (9, 0) and cudnn_version < CUDNN_SOUND:
            names.append(FLASH_3)
    return (*names, NATIVE)


def best_attention(device: torch.device, dtype: torch.dtype, *, lossy: bool) -> str:
    """The best backend that works on a device. What is missing is named in the log."""
    if device.type != "cuda":
        return NATIVE
    capability = torch.cuda.get_device_capability(device)
    cudnn_version: int = torch.backends.cudnn.version() or 0  # type: ignore[no-untyped-call]
    names = candidates(capability, dtype, cudnn_version, lossy=lossy)
    return first_that_works(names, device, dtype)


def first_that_works(names: tuple[str, ...], device: torch.device, dtype: torch.dtype) -> str:
    """The first of some backends that attends on a device as `native` does; else `native`."""
    for name in names:
        if name == NATIVE:
            break
        if (fault := _fault(name, device, dtype)) is None:
            return name
        logger.info("attention by %s is not to be had: %s", name, fault)
    return NATIVE


def attend(
    queries: Tensor, keys: Tensor, values: Tensor, backend: AttentionBackendName | None
) -> Tensor:
    """Attention without a mask; all are (lanes, tokens, heads, head dimension).

    A `backend` of None is diffusers' own setting, which is `native`.
    """
    if backend is None or backend == AttentionBackendName.NATIVE:
        out: Tensor = dispatch_attention_fn(queries, keys, values, backend=backend)
        return out
    seen: Tensor = _opaque(queries, keys, values, backend.value)
    return seen


@torch.library.custom_op("heliostat::attend", mutates_args=())
def _opaque(queries: Tensor, keys: Tensor, values: Tensor, backend: str) -> Tensor:
    name = AttentionBackendName(backend)
    out: Tensor = dispatch_attention_fn(queries, keys, values, backend=name)
    return out.contiguous()


@_opaque.register_fake
def _(queries: Tensor, keys: Tensor, values: Tensor, backend: str) -> Tensor:
    del keys, values, backend
    return torch.empty_like(queries, memory_format=torch.contiguous_format)


@cache
def _fault(name: str, device: torch.device, dtype: torch.dtype) -> str | None:
    """Why a backend does not serve on a device; None where it does."""
    try:
        backend = AttentionBackendName(name)
        _check_attention_backend_requirements(backend)
        generator = torch.Generator().manual_seed(0)
        queries, keys, values = (
            torch.randn(_TRIAL_SHAPE, generator=generator).to(device, dtype) for _ in range(3)
        )
        expected = attend(queries, keys, values, AttentionBackendName.NATIVE).float()
        seen = attend(queries, keys, values, backend).float()
        off = float((seen - expected).norm() / expected.norm())
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a package, or its absence, raises
        return f"{type(error).__name__}: {error}"
    return None if off <= _TRIAL_ERROR_MAX else f"its results are {off:.0%} off"
