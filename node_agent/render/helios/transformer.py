"""The transformer with a forward of our own: the stock weights, the same bits, less work.

Two things that the stock forward repeats are done once. Modulation has only two distinct rows, one
for all history tokens (their time is 0) and one for all tokens of the chunk; the stock code expands
them to a row for every token, 1.4 GB in float32 at the full stage of the real model. And the keys
and values of cross-attention depend on the prompt alone: `cross_attention.py` computes them once
for each prompt, and the weights that make them leave the blocks.

The classes are the stock ones with another forward, so whatever diffusers hooks to them (group
offloading, attention backends) goes on working. Weights that are streamed are asked for around each
block, not by hooks within it, so that a block can be compiled (`fusion.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from diffusers import HeliosTransformer3DModel
from diffusers.models.transformers.transformer_helios import (
    HeliosTransformerBlock,
    apply_rotary_emb_transposed,
    center_down_sample_3d,
    pad_for_3d_conv,
)
from torch import Tensor

from node_agent.render.helios.attention import attend
from node_agent.render.helios.slabs.streamer import AllResident, BlockWeights

KeysValues = tuple[Tensor, Tensor]
"""Of one block's cross-attention: each (lanes, tokens, heads, head dimension)."""

Rows = tuple[Tensor, Tensor]
"""A modulation for history tokens and one for the chunk's: each (lanes, 1, dimension), float32."""


def run_block(block: Any, *inputs: Any) -> Tensor:
    """A block's output, as the block is written."""
    out: Tensor = block(*inputs)
    return out


class LeanTransformer(HeliosTransformer3DModel):  # type: ignore[misc]
    """A stock transformer after `lean`."""

    _repeated_blocks = ("LeanBlock",)

    weights: BlockWeights = AllResident()
    """Has each block's weights on the device while it is at work."""
    run_block: Callable[..., Tensor] = staticmethod(run_block)
    """Runs a block: as it is written, or compiled."""

    def forward(
        self,
        hidden_states: Tensor,
        timestep: Tensor,
        keys_values: Sequence[KeysValues],
        history: dict[str, tuple[Tensor, Tensor]],
        chunk_at: Tensor,
    ) -> Tensor:
        """Velocity at `hidden_states` (lanes, channels, 9, height, width), of the same shape.

        `timestep` is (lanes,). `history` has for `short`, `mid` and `long` the latents and their
        places in time (1, frames); `chunk_at` (1, 9) are the chunk's.
        """
        tokens = self.patch_embedding(hidden_states)
        lanes, _, frames, height, width = tokens.shape
        tokens = tokens.flatten(2).transpose(1, 2)
        places = _sequence(self.rope(chunk_at, height, width, tokens.device))
        chunk_tokens = tokens.shape[1]
        for kind, factor in (("short", 1), ("mid", 2), ("long", 4)):
            older, older_places = self._remember(kind, factor, *history[kind])
            tokens = torch.cat([older, tokens], dim=1)
            places = torch.cat([older_places, places], dim=1)
        split = tokens.shape[1] - chunk_tokens

        zero = torch.zeros(1, dtype=timestep.dtype, device=timestep.device)
        _, at_zero = self._time(zero, tokens)
        time, at_time = self._time(timestep, tokens)
        modulation = torch.stack([at_zero.expand_as(at_time), at_time], dim=1)
        tokens, places = tokens.contiguous(), places.contiguous()
        for number, (block, key_value) in enumerate(zip(self.blocks, keys_values, strict=True)):
            with self.weights.block(number):
                tokens = self.run_block(block, tokens, key_value, modulation, places, split)

        tokens = self.proj_out(self.norm_out(tokens, time.unsqueeze(1), chunk_tokens))
        patches = tokens.view(lanes, frames, height, width, *self.config.patch_size, -1)
        velocity: Tensor = patches.permute(0, 7, 1, 4, 2, 5, 3, 6)
        return velocity.flatten(6, 7).flatten(4, 5).flatten(2, 3)

    def _remember(
        self, kind: str, factor: int, latents: Tensor, at: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Tokens and places of a stretch of history, `factor` times coarser in each direction."""
        _, rows, columns = self.config.patch_size
        height, width = latents.shape[3] // rows, latents.shape[4] // columns
        places = self.rope(at, height, width, latents.device)
        if factor > 1:
            latents = pad_for_3d_conv(latents, (factor, rows * factor, columns * factor))
            places = center_down_sample_3d(pad_for_3d_conv(places, (factor,) * 3), (factor,) * 3)
        patch = getattr(self, f"patch_{kind}")
        return _sequence(patch(latents)), _sequence(places)

    def _time(self, timestep: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        """A time's embedding (lanes, dimension) and its six modulations (lanes, 6, dimension)."""
        embedding, projected, _ = self.condition_embedder(
            timestep, like, is_return_encoder_hidden_states=False
        )
        return embedding, projected.unflatten(-1, (6, -1))


class LeanBlock(HeliosTransformerBlock):  # type: ignore[misc]
    """A stock block after `lean`: self-attention, cross-attention of the chunk, feed-forward."""

    def forward(
        self, tokens: Tensor, key_value: KeysValues, modulation: Tensor, places: Tensor, split: int
    ) -> Tensor:
        """`tokens` (lanes, history + chunk, dimension), of which the first `split` are history.

        `modulation` is (lanes, 2, 6, dimension): at time 0 and at the chunk's.
        """
        shift, scale, gate, late_shift, late_scale, late_gate = (
            (rows[:, 0], rows[:, 1])
            for rows in (self.scale_shift_table.unsqueeze(0) + modulation.float()).split(1, dim=2)
        )
        normal = _modulated(self.norm1(tokens.float()), scale, shift, split).type_as(tokens)
        attended = self._look_around(normal, places)
        tokens = _gated(attended, gate, split).add_(tokens).type_as(tokens)

        chunk = tokens[:, split:]
        chunk += self._look_at_prompt(self.norm2(chunk.float()).type_as(chunk), *key_value)

        normal = _modulated(self.norm3(tokens.float()), late_scale, late_shift, split)
        fed = self.ffn(normal.type_as(tokens))
        return _gated(fed, late_gate, split).add_(tokens).type_as(tokens)

    def _look_around(self, tokens: Tensor, places: Tensor) -> Tensor:
        """Self-attention: each token looks at all."""
        attention = self.attn1
        queries, keys, values = (
            rows.unflatten(2, (attention.heads, -1))
            for rows in (
                attention.norm_q(attention.to_q(tokens)),
                attention.norm_k(attention.to_k(tokens)),
                attention.to_v(tokens),
            )
        )
        queries = apply_rotary_emb_transposed(queries, places)
        keys = apply_rotary_emb_transposed(keys, places)
        return _seen(attention, queries, keys, values)

    def _look_at_prompt(self, chunk: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Cross-attention."""
        attention = self.attn2
        queries = attention.norm_q(attention.to_q(chunk)).unflatten(2, (attention.heads, -1))
        return _seen(attention, queries, keys, values)


def lean(transformer: HeliosTransformer3DModel) -> Any:
    """Give a stock transformer our forward; its modules stay where they are.

    `cross_attention.PromptProjections` has to take the prompt's weights out of it afterwards.
    Raises ValueError for a transformer that is built unlike Helios.
    """
    expected = {
        "guidance_cross_attn": True,
        "zero_history_timestep": True,
        "has_multi_term_memory_patch": True,
        "is_amplify_history": False,
    }
    for name, value in expected.items():
        if transformer.config[name] != value:
            raise ValueError(f"{name} is {transformer.config[name]!r}; Helios has {value!r}")
    for block in transformer.blocks:
        block.__class__ = LeanBlock
    transformer.__class__ = LeanTransformer
    return transformer


def _seen(attention: Any, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """What queries see of values, (lanes, queries, dimension): each is (lanes, …, heads, …)."""
    seen = attend(queries, keys, values, attention.processor._attention_backend)
    out: Tensor = attention.to_out[0](seen.flatten(2, 3).type_as(queries))
    return out


def _sequence(grid: Tensor) -> Tensor:
    """(lanes, channels, frames, height, width) as a sequence (lanes, places, channels)."""
    return grid.flatten(2).transpose(1, 2)


def _modulated(normal: Tensor, scale: Rows, shift: Rows, split: int) -> Tensor:
    """`normal` (1 + scale) + shift, in place; `normal` is float32 and nobody else's."""
    for part, row in ((normal[:, :split], 0), (normal[:, split:], 1)):
        part.mul_(1 + scale[row]).add_(shift[row])
    return normal


def _gated(output: Tensor, gate: Rows, split: int) -> Tensor:
    """`output` times its gate, float32; `output` is a layer's and nobody else's."""
    output = output.float()
    output[:, :split].mul_(gate[0])
    output[:, split:].mul_(gate[1])
    return output
