"""A Helios model of full size without files: random weights, made on the device.

They have the real shapes and types, so time and memory are the real model's; the picture is static.
"""

from __future__ import annotations

import zlib
from types import TracebackType
from typing import Any, Self

import torch
from accelerate import init_empty_weights
from accelerate.utils import set_module_tensor_to_device
from diffusers import AutoencoderKLWan, HeliosDMDScheduler, HeliosTransformer3DModel
from torch import Tensor

from node_agent.models import MAX_PROMPT_TOKENS, Manifest, ModelInfo
from node_agent.render.helios.placement import Placement, Room, choose
from node_agent.render.helios.tiny import make_tokenizer

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
        config = self._empty().config
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

    def check_room(self, dtype: torch.dtype, free: Room) -> Placement:
        """Where the transformer goes on a GPU. Raises `ModelError`, with numbers, for nowhere."""
        return choose("transformer", self.transformer_bytes(dtype), free, made_there=True)

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

    def transformer_bytes(self, dtype: torch.dtype) -> int:
        """See `Parts`."""
        return sum(
            parameter.numel() * _kept_as(name, dtype).itemsize
            for name, parameter in self._empty().named_parameters()
        )

    def transformer(self, dtype: torch.dtype, device: torch.device) -> Any:
        """See `Parts`: made there, never anywhere else."""
        stock = self._empty()
        generator = torch.Generator(device).manual_seed(self._seed)
        drawn = torch.empty(DRAWN, device=device).normal_(std=SPREAD, generator=generator)
        for name, parameter in list(stock.named_parameters()):
            weights = torch.empty(parameter.shape, dtype=_kept_as(name, dtype), device=device)
            if weights.dim() > 1:
                for part in torch.split(weights.view(-1), DRAWN):
                    part.copy_(drawn[: len(part)])
            else:  # of a norm, or a bias
                weights.fill_(1.0 if name.endswith("weight") else 0.0)
            set_module_tensor_to_device(stock, name, device, weights, weights.dtype)
        return stock.to(device)

    def text_encoder(self, tokenizer: Any, dtype: torch.dtype, device: torch.device) -> RandomTexts:
        """See `Parts`; `device` is never asked for anything."""
        del device
        return RandomTexts(tokenizer, self.info.text_dim, dtype)

    def _empty(self) -> Any:
        """The transformer with weights that take no memory."""
        with init_empty_weights():
            return HeliosTransformer3DModel(**self._arguments)


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


def _kept_as(name: str, dtype: torch.dtype) -> torch.dtype:
    """The type of a weight in a model loaded as `dtype`: the model keeps some in float32."""
    kept: list[str] = HeliosTransformer3DModel._keep_in_fp32_modules
    return torch.float32 if any(part in name for part in kept) else dtype
