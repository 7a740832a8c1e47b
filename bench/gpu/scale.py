"""Of which size: the 14B model on a GPU, a small one on a CPU, which rehearses the script."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

import torch

from node_agent.memory_size import memory_size
from node_agent.render.bench.memory import vram_used
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.slabs.homes import Parted
from node_agent.render.helios.slabs.plan import WORKING_BYTES, Budget, plan

FULL_BYTES: Final = 28.6e9
"""Of the 14B model's weights in bfloat16."""
LATER_BYTES: Final = 256 << 20
"""GPU memory that CUDA takes for itself when kernels are first used. Estimated."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A model, and the size of its pictures."""

    name: str
    width: int
    height: int
    transformer: dict[str, Any] = field(default_factory=dict)
    """Arguments of the stock class; none are the 14B model's."""
    vae: dict[str, Any] = field(default_factory=dict)

    def parts(self) -> RandomWeights:
        """The model, not made yet."""
        return RandomWeights(self.transformer, self.vae)

    def dtype(self, device: torch.device) -> torch.dtype:
        """What the stock pipeline computes in, and `exact`."""
        return torch.bfloat16 if device.type == "cuda" else torch.float32

    def cap_bytes(self, cap: str, device: torch.device) -> int:
        """GPU memory that PyTorch may take under a cap, which counts what CUDA takes by itself.

        On a CPU it is rehearsed: of the small model as much stays on the card as of the real one.
        """
        sizes = Parted.of(self.parts().empty_transformer(self.dtype(device))).sizes
        plenty = Budget(vram=9 * sizes.total, ram=9 * sizes.total)
        least = plan(sizes, plenty, least=True).vram_bytes
        if cap == "half":
            return WORKING_BYTES + least + sum(sizes.blocks) // 2
        if device.type == "cuda":
            torch.zeros(1, device=device)
            own = vram_used(device) - torch.cuda.memory_reserved(device)
            return memory_size(cap) - own - LATER_BYTES
        share = max(0.0, memory_size(cap) - WORKING_BYTES) / FULL_BYTES
        return WORKING_BYTES + least + int(share * sum(sizes.blocks))


FULL: Final = Scale(name="full", width=640, height=384)
SMALL: Final = Scale(
    name="small",
    width=64,
    height=64,
    transformer={"num_attention_heads": 2, "text_dim": 32, "ffn_dim": 64, "num_layers": 6},
    vae={"base_dim": 2, "dim_mult": [1, 1, 1, 1], "num_res_blocks": 0},
)
SCALES: Final = {scale.name: scale for scale in (FULL, SMALL)}
