"""torchao's quantised tensors, as the profiles use them.

Importing torchao takes a second, and only lossy profiles need it.
"""

from __future__ import annotations

from typing import Any, Final, cast

import torch
from torch import Tensor
from torch.nn import functional
from torchao.float8.inference import Float8MMConfig
from torchao.quantization import Float8Tensor, Int8Tensor, PerRow
from torchao.quantization.quantize_.common import KernelPreference
from torchao.quantization.quantize_.workflows import QuantizeTensorToFloat8Kwargs

from node_agent.render.helios.rounding import quantised

ROWS_MIN: Final = 17
"""Rows that cuBLAS's INT8 product wants at the least."""
ROWS_MAX: Final = 4096
"""Rows of a product at a time: its sums are int32 and float32, four times the result. Compiled
code fuses them, and takes all rows at once."""

_FLOAT8_ACTIVATIONS: Final = QuantizeTensorToFloat8Kwargs(
    granularity=PerRow(), kernel_preference=KernelPreference.TORCH
)


class Int8Weight(Int8Tensor):  # type: ignore[misc]
    """torchao's INT8 weight with a product of our own.

    torchao's takes the CPU's time on a GPU where it is not compiled: it prints each operand to see
    whether it is real, which waits for the card.
    """

    def _stable_hash_for_caching(self) -> str:
        """What decides the code that is compiled for it: torch keeps the code by this."""
        what = (tuple(self.shape), self.qdata.stride(), self.dtype, str(self.device))
        return f"{type(self).__name__}{what}"


def tensor(numbers: Tensor, scale: Tensor, dtype: torch.dtype) -> Tensor:
    """A weight (rows, columns) of small numbers and a scale for each row.

    Products with it are of `dtype`, and quantise what they are given by row as they go.
    """
    block = [1, numbers.shape[1]]
    if numbers.dtype == torch.int8:
        return cast("Tensor", Int8Weight(numbers, scale, block, dtype))
    weight = Float8Tensor(
        numbers,
        scale,
        block_size=block,
        mm_config=Float8MMConfig(use_fast_accum=True),
        act_quant_kwargs=_FLOAT8_ACTIVATIONS,
        kernel_preference=KernelPreference.TORCH,
        dtype=dtype,
    )
    return cast("Tensor", weight)


def _linear(_func: Any, _types: Any, arguments: Any, keywords: Any) -> Tensor:
    rows, weight, bias = (*arguments, *keywords.values(), None)[:3]
    flat = rows.reshape(-1, rows.shape[-1])
    at_once = len(flat) if torch.compiler.is_compiling() else ROWS_MAX
    parts = [_product(part, weight, bias) for part in flat.split(at_once)]
    out = parts[0] if len(parts) == 1 else torch.cat(parts)
    return out.view(*rows.shape[:-1], -1)


def _product(rows: Tensor, weight: Any, bias: Tensor | None) -> Tensor:
    """`rows` times the weight plus bias, added up in int32, scaled in float32."""
    numbers, scale = quantised(rows.float(), torch.int8)
    sums = _sums(numbers, weight.qdata).float()
    sums = sums.mul_(scale).mul_(weight.scale.view(1, -1))
    return (sums if bias is None else sums.add_(bias)).to(rows.dtype)


def _sums(rows: Tensor, weights: Tensor) -> Tensor:
    """The exact products of INT8 rows (n, k) and (m, k): (n, m)."""
    if rows.is_cuda:
        lacking = ROWS_MIN - len(rows)
        padded = functional.pad(rows, (0, 0, 0, lacking)) if lacking > 0 else rows
        return torch._int_mm(padded, weights.t())[: len(rows)]
    if torch.cpu._is_vnni_supported():
        return torch._int_mm(rows, weights.t())
    return rows.double() @ weights.double().t()  # others saturate at 16 bits


Int8Weight.implements(torch.ops.aten.linear.default)(_linear)
Int8Weight.implements_torch_function(functional.linear)(_linear)
