"""How the blocks of a transformer run on a device: compiled or as written, with which attention.

One block is compiled, not the transformer: all 40 share its graphs, whose weights are inputs. A
graph holds for one shape and knows nothing else, so that a clip which goes on in another process
meets the same kernels, whatever that process rendered before it.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

import torch
import torch._dynamo.config as dynamo_config
import torch._inductor.config as inductor_config
from diffusers.models.attention_dispatch import AttentionBackendName
from torch import Tensor
from torch._dynamo.exc import FailOnRecompileLimitHit, TorchDynamoException

from node_agent.render.helios.attention import NATIVE, best_attention
from node_agent.render.helios.transformer import run_block

logger = logging.getLogger(__name__)

GRAPHS_MAX: Final = 256
"""Kept at a time: one for each stage, number of lanes, size of picture and kind of weights (whole,
quantised). PyTorch's own limit of 8 is for graphs that multiply by mistake. When they are more, all
are made anew, from the cache."""


@dataclass(frozen=True, slots=True)
class Fusion:
    """How blocks run on a device."""

    compiled: bool
    attention: str = NATIVE
    """Of self-attention; cross-attention, with its 512 keys, is `native`."""

    def apply(self, transformer: Any) -> None:
        """Have a `LeanTransformer` run so."""
        if self.attention != NATIVE:
            backend = AttentionBackendName(self.attention)
            for block in transformer.blocks:
                block.attn1.processor._attention_backend = backend
        if self.compiled:
            transformer.run_block = CompiledBlocks()


def fusion_for(
    device: torch.device,
    dtype: torch.dtype,
    *,
    compiled: bool | None = None,
    lossy_attention: bool = False,
) -> Fusion:
    """The best that a device and its system have.

    `compiled` of None is yes on a GPU, no on a CPU, where pictures are those of the stock pipeline.
    Where nothing can be compiled the log says why, and blocks run as they are written.
    """
    wanted = device.type == "cuda" if compiled is None else compiled
    return Fusion(
        compiled=wanted and _can_compile(device),
        attention=best_attention(device, dtype, lossy=lossy_attention),
    )


def stack_words(device: torch.device, dtype: torch.dtype, compiled: bool | None) -> tuple[str, ...]:
    """What a stack id says of it, whichever profile is at work; nothing where all is as written."""
    fusions = [
        fusion_for(device, dtype, compiled=compiled, lossy_attention=lossy)
        for lossy in (False, True)
    ]
    attention = {each.attention.strip("_") for each in fusions} - {NATIVE}
    return (*(["compiled"] if fusions[0].compiled else []), *sorted(attention))


class CompiledBlocks:
    """Runs blocks by graphs that they share; from the first that fails on, as they are written."""

    def __init__(self, backend: Any = "inductor") -> None:
        """`backend` is `torch.compile`'s."""
        self._run = _compiled(run_block, backend)
        self.compiles = True
        """Whether none has failed so far."""

    def __call__(self, block: Any, *inputs: Any) -> Tensor:
        """See `transformer.run_block`."""
        try:
            out: Tensor = self._run(block, *inputs)
        except FailOnRecompileLimitHit:
            torch.compiler.reset()
            out = self._run(block, *inputs)
        except TorchDynamoException:  # a block leaves its inputs as they were: it can begin again
            logger.exception("a block cannot be compiled; all run as they are written, slower")
            self._run, self.compiles = run_block, False
            out = run_block(block, *inputs)
        return out


def _compiled(function: Any, backend: Any = "inductor") -> Any:
    dynamo_config.recompile_limit = GRAPHS_MAX
    dynamo_config.accumulated_recompile_limit = 4 * GRAPHS_MAX
    # A dozen kernels take seconds; a pool of compilers for each card takes gigabytes.
    inductor_config.compile_threads = 1
    options: dict[str, Any] | None = None
    if backend == "inductor" and hasattr(inductor_config, "deterministic"):
        # No choice by measuring that could turn out otherwise next time, and sum in another order.
        options = {"deterministic": True}
    return torch.compile(function, fullgraph=True, dynamic=False, backend=backend, options=options)


@cache
def _can_compile(device: torch.device) -> bool:
    """Whether a small function can be: it takes a C++ compiler, on a GPU also Triton."""
    try:
        _compiled(_trial)(torch.ones(64, device=device))
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - no compiler, no Triton, too old a card, ...
        cause = getattr(error, "inner_exception", error)
        reason = f"{type(cause).__name__}: {cause}".strip().partition("\n")[0]
        logger.warning("blocks are not compiled for %s, which is slower: %s", device, reason)
        return False
    return True


def _trial(rows: Tensor) -> Tensor:
    return rows * 2 + 1
