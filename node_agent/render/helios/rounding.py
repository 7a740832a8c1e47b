"""Rows of numbers in eight bits, each with a scale of its own."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor

_MOST: Final = {torch.int8: 127.0, torch.float8_e4m3fn: 448.0}
_LEAST_SCALE: Final = torch.finfo(torch.float32).tiny


def quantised(rows: Tensor, numbers: torch.dtype) -> tuple[Tensor, Tensor]:
    """`rows` (n, k) in float32 as n rows of small numbers, and n scales (n, 1), float32.

    Symmetric, nearest: the largest of a row becomes the largest number.
    """
    # By a tensor: a GPU multiplies by the reciprocal of a plain number, which rounds otherwise.
    most = torch.full((1, 1), _MOST[numbers], device=rows.device)
    scale = (rows.abs().amax(dim=1, keepdim=True) / most).clamp_(min=_LEAST_SCALE)
    found = rows / scale
    return (found.round_() if numbers == torch.int8 else found).to(numbers), scale
