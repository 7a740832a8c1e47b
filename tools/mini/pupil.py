"""The transformer while it learns: stock weights, and a forward that keeps gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own custom
from diffusers import HeliosTransformer3DModel
from torch import Tensor, nn

from node_agent.render.helios.history import Memory
from node_agent.render.helios.transformer import LeanTransformer

from .plan import Plan
from .text import Words

PADDING_QUERY, PADDING_KEY = 2.0, 0.1
"""Biases, opposite to each other, by which attention begins with next to no eye for padding: by
chance it would be 98% of what a caption of ten words says."""


class Pupil(LeanTransformer):
    """A stock transformer after `build_pupil`."""

    def forward(self, latents: Tensor, time: Tensor, words: Words, memory: Memory) -> Tensor:  # type: ignore[override]
        """Velocity at `latents` (clips, channels, 9, height, width); `time` (clips,), 0..1000."""
        grid = self.patch_embedding(latents)
        clips, _, frames, height, width = grid.shape
        tokens = grid.flatten(2).transpose(1, 2)
        chunk_tokens = tokens.shape[1]
        places = self.rope(memory.chunk_at, height, width, tokens.device).flatten(2).transpose(1, 2)
        for kind, factor in (("short", 1), ("mid", 2), ("long", 4)):
            older, older_places = self._remember(kind, factor, *memory.history[kind])
            tokens = torch.cat([older, tokens], dim=1)
            places = torch.cat([older_places, places], dim=1)
        split = tokens.shape[1] - chunk_tokens

        embedding, at_time = self._time(time, tokens)
        _, at_zero = self._time(torch.zeros(1), tokens)
        text = self.condition_embedder.text_embedder(words.states)
        for block in self.blocks:
            tokens = _through(block, tokens, text, words.bias, at_zero, at_time, places, split)
        patches = self.proj_out(self.norm_out(tokens, embedding.unsqueeze(1), chunk_tokens))
        patches = patches.view(clips, frames, height, width, *self.config.patch_size, -1)
        velocity: Tensor = patches.permute(0, 7, 1, 4, 2, 5, 3, 6)
        return velocity.flatten(6, 7).flatten(4, 5).flatten(2, 3)


def build_transformer(plan: Plan) -> HeliosTransformer3DModel:
    """The stock transformer in the plan's size."""
    return HeliosTransformer3DModel(
        num_attention_heads=plan.heads,
        attention_head_dim=plan.head_dim,
        rope_dim=plan.rope,
        text_dim=plan.text_dim,
        ffn_dim=plan.ffn_dim,
        num_layers=plan.layers,
    )


@torch.no_grad()
def build_pupil(plan: Plan) -> Pupil:
    """A transformer to be taught, of random weights; its answer begins as zero."""
    pupil: Any = build_transformer(plan)
    pupil.__class__ = Pupil
    for module in pupil.modules():
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight)
            nn.init.zeros_(module.bias)
    nn.init.zeros_(pupil.proj_out.weight)
    for block in pupil.blocks:
        away = torch.randn(plan.heads * plan.head_dim)
        block.attn2.to_q.bias.copy_(PADDING_QUERY * away)
        block.attn2.to_k.bias.copy_(-PADDING_KEY * away)
    taught: Pupil = pupil
    return taught


def _through(
    block: Any,
    tokens: Tensor,
    text: Tensor,
    bias: Tensor,
    at_zero: Tensor,
    at_time: Tensor,
    places: Tensor,
    split: int,
) -> Tensor:
    """A block's output, as the stock block computes it; the first `split` tokens are history."""
    rows = torch.stack([at_zero.expand_as(at_time), at_time], dim=1) + block.scale_shift_table
    shift, scale, gate, late_shift, late_scale, late_gate = rows.unsqueeze(3).unbind(2)

    def by_row(normal: Tensor, factor: Tensor, offset: Tensor | None = None) -> Tensor:
        parts = (normal[:, :split], normal[:, split:])
        changed = [part * factor[:, row] for row, part in enumerate(parts)]
        if offset is not None:
            changed = [part + offset[:, row] for row, part in enumerate(changed)]
        return torch.cat(changed, dim=1)

    normal = by_row(block.norm1(tokens), 1 + scale, shift)
    own = block.attn1
    queries, keys = (
        _turned(norm(linear(normal)).unflatten(2, (own.heads, -1)), places)
        for norm, linear in ((own.norm_q, own.to_q), (own.norm_k, own.to_k))
    )
    seen = _attended(queries, keys, own.to_v(normal).unflatten(2, (own.heads, -1)), None)
    tokens = tokens + by_row(own.to_out[0](seen), gate)

    read, chunk = block.attn2, tokens[:, split:]
    queries = read.norm_q(read.to_q(block.norm2(chunk))).unflatten(2, (read.heads, -1))
    keys = read.norm_k(read.to_k(text)).unflatten(2, (read.heads, -1))
    seen = _attended(queries, keys, read.to_v(text).unflatten(2, (read.heads, -1)), bias)
    tokens = torch.cat([tokens[:, :split], chunk + read.to_out[0](seen)], dim=1)

    fed = block.ffn(by_row(block.norm3(tokens), 1 + late_scale, late_shift))
    return tokens + by_row(fed, late_gate)


def _attended(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
    """(clips, tokens, dimension) of (clips, tokens, heads, head dimension) each."""
    queries, keys, values = (each.transpose(1, 2) for each in (queries, keys, values))
    seen = F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias)
    return seen.transpose(1, 2).flatten(2)


def _turned(rows: Tensor, places: Tensor) -> Tensor:
    """Rotary embedding, as `apply_rotary_emb_transposed` has it."""
    cosine, sine = places.unsqueeze(-2).chunk(2, dim=-1)
    first, second = rows.reshape(*rows.shape[:-1], -1, 2).unbind(-1)
    turned = (
        first * cosine[..., 0::2] - second * sine[..., 1::2],
        first * sine[..., 1::2] + second * cosine[..., 0::2],
    )
    return torch.stack(turned, dim=-1).flatten(-2)
