"""What a prompt means to every block: the keys and values of cross-attention, once per prompt.

They depend on the prompt alone, so computing them once is exact; and the weights that make them,
15% of the model, are needed once per prompt instead of in every pass: they live apart from the
transformer, on the host where it is streamed, and visit the device block by block.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from node_agent.render.helios.transformer import KeysValues

_OF_A_BLOCK = ("to_k", "norm_k", "to_v")
_NAMES = re.compile(
    rf"blocks\.\d+\.attn2\.({'|'.join(_OF_A_BLOCK)})\.|condition_embedder\.text_embedder\."
)


def meets_prompt(name: str) -> bool:
    """Whether a tensor of the stock transformer, by its name, leaves it for `PromptProjections`."""
    return _NAMES.match(name) is not None


@dataclass(frozen=True, slots=True)
class PromptKeys:
    """The keys and values of one prompt in every block.

    A prompt is padded to 512 tokens that are all alike, and so are their keys: only the first of
    them is kept, `padding` says how many times it counts.
    """

    blocks: tuple[KeysValues, ...]
    """Each (1, kept tokens, heads, head dimension)."""
    padding: int
    """Further tokens equal to the last one kept."""

    def whole(self, block: int) -> KeysValues:
        """Keys and values of all 512 tokens."""
        keys, values = self.blocks[block]
        return self._padded(keys), self._padded(values)

    def _padded(self, rows: Tensor) -> Tensor:
        if not self.padding:
            return rows
        return torch.cat([rows, rows[:, -1:].expand(-1, self.padding, -1, -1)], dim=1)


class LaneKeys(Sequence[KeysValues]):
    """The keys and values of several lanes, block by block: only one block's are ever whole."""

    def __init__(self, lanes: Sequence[PromptKeys]) -> None:
        self._lanes = lanes

    def __len__(self) -> int:
        return len(self._lanes[0].blocks)

    def __getitem__(self, block: Any) -> Any:
        each = [keys.whole(block) for keys in self._lanes]
        if len(each) == 1:
            return each[0]
        return torch.cat([k for k, _ in each]), torch.cat([v for _, v in each])

    def __iter__(self) -> Iterator[KeysValues]:
        return (self[block] for block in range(len(self)))


class PromptProjections(nn.Module):
    """The weights that turn a prompt's embeddings into keys and values, taken from the blocks."""

    def __init__(self, transformer: Any) -> None:
        super().__init__()
        self.text_embedder = transformer.condition_embedder.text_embedder
        del transformer.condition_embedder.text_embedder
        parts_of_blocks: list[nn.ModuleDict] = []
        for block in transformer.blocks:
            attention, parts = block.attn2, nn.ModuleDict()
            for name in _OF_A_BLOCK:
                parts[name] = getattr(attention, name)
                delattr(attention, name)
            parts_of_blocks.append(parts)
        self.blocks = nn.ModuleList(parts_of_blocks)
        self._parts = [dict(parts.items()) for parts in parts_of_blocks]
        self._heads = transformer.config.num_attention_heads

    @torch.inference_mode()
    def keys(self, embeddings: Tensor, tokens: int) -> PromptKeys:
        """Keys and values of `embeddings` (1, 512, text dimension), whose first `tokens` are real.

        They lie on the embeddings' device, wherever the weights are at home.
        """
        text = _visit(self.text_embedder, embeddings)
        blocks = []
        for parts in self._parts:
            keys = _visit(parts["norm_k"], _visit(parts["to_k"], text))
            values = _visit(parts["to_v"], text)
            blocks.append((self._by_head(keys), self._by_head(values)))
        padding = text.shape[1] - tokens - 1
        if padding <= 0 or not all(_alike(rows, tokens) for pair in blocks for rows in pair):
            return PromptKeys(tuple(blocks), padding=0)
        kept = tuple(
            (keys[:, : tokens + 1].clone(), values[:, : tokens + 1].clone())
            for keys, values in blocks
        )
        return PromptKeys(kept, padding)

    def _by_head(self, rows: Tensor) -> Tensor:
        return rows.view(*rows.shape[:2], self._heads, -1)


def _alike(rows: Tensor, tokens: int) -> bool:
    """Whether all padding came out the same to the last bit: a matrix product need not do that."""
    return torch.equal(rows[:, tokens:], rows[:, tokens : tokens + 1].expand_as(rows[:, tokens:]))


def _visit(module: nn.Module, rows: Tensor) -> Tensor:
    """Run a module on the device of `rows`, and let it go home again."""
    home = next(module.parameters()).device
    if home == rows.device:
        out: Tensor = module(rows)
        return out
    at_home = {name: parameter.data for name, parameter in module.named_parameters()}
    out = module.to(rows.device)(rows)
    for name, parameter in module.named_parameters():
        parameter.data = at_home[name]
    return out
