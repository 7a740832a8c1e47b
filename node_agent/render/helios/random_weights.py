"""A Helios model of full size without files: random weights, made where they live.

They have the real shapes and types, so time and memory are the real model's; the picture is static.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import torch
from diffusers import AutoencoderKLWan, HeliosDMDScheduler
from torch import Tensor

from node_agent.models import MAX_PROMPT_TOKENS, Manifest, ModelError, ModelInfo
from node_agent.render.helios.placement import Caps
from node_agent.render.helios.quantize import is_quantised, write
from node_agent.render.helios.slabs.files import Change, as_it_is, empty_transformer
from node_agent.render.helios.slabs.homes import settle_whole
from node_agent.render.helios.tiny import make_tokenizer
from node_agent.render.helios.tiny_vae import TinyVae

SPREAD = 0.02
"""Standard deviation of the weights: activations keep their size over 40 blocks."""


DRAWN = 16_000_057
"""Numbers that are drawn; they repeat, for drawing 14 billion takes a CPU minutes. A prime, so that
no two rows of a matrix are alike."""


class RandomWeights:
    """The parts of a Distilled model; implements `node_agent.render.helios.parts.Parts`."""

    def __init__(
        self,
        transformer: dict[str, Any] | None = None,
        vae: dict[str, Any] | None = None,
        *,
        seed: int = 0,
    ) -> None:
        """Allocates nothing yet. The arguments of the stock classes are the 14B model's by default.

        A call with others makes a smaller one, which is then not of full size.
        """
        self._arguments = transformer or {}
        self._vae_arguments = vae or {}
        self._seed = seed
        config = self.empty_transformer(torch.bfloat16).config
        self.manifest = Manifest("helios-random", "distilled", f"random weights, seed={seed}", ())
        self.info = ModelInfo(
            variant="distilled",
            layers=config.num_layers,
            heads=config.num_attention_heads,
            head_dim=config.attention_head_dim,
            ffn_dim=config.ffn_dim,
            text_dim=config.text_dim,
            max_tokens=MAX_PROMPT_TOKENS,
            default_steps=(2, 2, 2),
            default_guidance_scale=1.0,
        )

    def tokenizer(self) -> Any:
        """helios-tiny's: the real one is a file."""
        return make_tokenizer()

    def schedule(self) -> Any:
        """See `Parts`."""
        return HeliosDMDScheduler(use_dynamic_shifting=True, gamma=1 / 3)

    def vae(self) -> Any:
        """See `Parts`."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self._seed)
            return AutoencoderKLWan(**self._vae_arguments)

    def tiny_vae(self) -> TinyVae:
        """Raises `ModelError`: there is none."""
        raise ModelError("random weights come without a tiny VAE; choose another one")

    def empty_transformer(self, dtype: torch.dtype) -> Any:
        """See `Parts`."""
        return empty_transformer(self._arguments, dtype)

    def fill(
        self, into: Mapping[str, Tensor], worker: torch.device, change: Change = as_it_is
    ) -> None:
        """See `Parts`; the same numbers wherever they are written. Nothing is changed."""
        del change
        generator = torch.Generator("cpu").manual_seed(self._seed)
        drawn = torch.empty(DRAWN).normal_(std=SPREAD, generator=generator)
        devices = {worker, *(place.device for place in into.values())}
        drawn_on = {device: drawn.to(device) for device in devices}
        for name, place in into.items():
            if is_quantised(place):
                whole = torch.empty(place.shape, dtype=place.dtype, device=worker)
                write(place, _repeated(drawn_on[worker], whole), worker)
            elif place.dim() > 1:
                _repeated(drawn_on[place.device], place)
            else:  # of a norm, or a bias
                place.fill_(1.0 if name.endswith("weight") else 0.0)

    def transformer_bytes(self, dtype: torch.dtype) -> int:
        """Bytes of the transformer's weights, counted without making them."""
        return sum(weights.nbytes for weights in self.empty_transformer(dtype).parameters())

    def transformer(self, dtype: torch.dtype, device: torch.device) -> Any:
        """The whole stock transformer on one device."""
        stock = self.empty_transformer(dtype)
        settle_whole(stock, device)
        self.fill(stock.state_dict(), device)
        return stock

    def text_encoder(
        self, tokenizer: Any, dtype: torch.dtype, device: torch.device, caps: Caps
    ) -> RandomTexts:
        """See `Parts`; `device` is never asked for anything."""
        del device, caps
        return RandomTexts(tokenizer, self.info.text_dim, dtype)


def _repeated(drawn: Tensor, place: Tensor) -> Tensor:
    """`place`, full of what was drawn, again and again."""
    for part in torch.split(place.view(-1), len(drawn)):
        part.copy_(drawn[: len(part)])
    return place


class RandomTexts:
    """Random embeddings, the same for the same text; implements `PromptReader`."""

    def __init__(self, tokenizer: Any, text_dim: int, dtype: torch.dtype) -> None:
        self._tokenizer = tokenizer
        self._text_dim = text_dim
        self._dtype = dtype

    def check_room(self) -> None:
        """It needs none."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """There is nothing to leave."""

    def encode(self, cleaned: str) -> Tensor:
        """See `PromptReader`."""
        tokens = len(self._tokenizer(cleaned, verbose=False).input_ids)
        generator = torch.Generator("cpu").manual_seed(zlib.crc32(cleaned.encode()))
        return torch.randn(tokens, self._text_dim, generator=generator).to(self._dtype)
