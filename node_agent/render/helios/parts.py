"""Where a model's parts come from: the files of a verified directory, or elsewhere."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from diffusers import (
    AutoencoderKLWan,
    HeliosDMDScheduler,
    HeliosScheduler,
    HeliosTransformer3DModel,
)
from torch import Tensor
from transformers import T5TokenizerFast

from node_agent.models import Manifest, ModelInfo, describe, load_verified
from node_agent.render.helios.placement import weight_bytes
from node_agent.render.helios.text_encoder import TextEncoder

_LOCAL = {"local_files_only": True, "use_safetensors": True}


class PromptReader(Protocol):
    """Turns texts into embeddings within a `with` block."""

    def check_room(self) -> None:
        """Raise `ModelError`, with numbers, where there is no room for it now."""
        ...

    def __enter__(self) -> Self:
        """Get ready. Raises `ModelError` where there is no room for it."""
        ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave nothing in memory."""
        ...

    def encode(self, cleaned: str) -> Tensor:
        """Embeddings (tokens, text dimension) of a cleaned text, on the CPU."""
        ...


class Parts(Protocol):
    """What `HeliosModel` puts together; each part is made when it is asked for, and is new."""

    manifest: Manifest
    info: ModelInfo

    def tokenizer(self) -> Any:
        """T5TokenizerFast."""
        ...

    def schedule(self) -> Any:
        """HeliosDMDScheduler (Distilled) or HeliosScheduler (Base, Mid)."""
        ...

    def vae(self) -> Any:
        """AutoencoderKLWan in float32, on the CPU."""
        ...

    def transformer_bytes(self, dtype: torch.dtype) -> int:
        """Bytes of the transformer's weights, counted without making them. Raises `ModelError`."""
        ...

    def transformer(self, dtype: torch.dtype, device: torch.device) -> Any:
        """HeliosTransformer3DModel, the stock one, on `device`."""
        ...

    def text_encoder(
        self, tokenizer: Any, dtype: torch.dtype, device: torch.device
    ) -> PromptReader:
        """What encodes prompts; not loaded yet."""
        ...


class ModelFiles:
    """The parts of a model directory."""

    def __init__(self, directory: Path, *, stamps: Path | None = None) -> None:
        """Verify. Raises `ModelError` when files do not match the manifest."""
        self.manifest = load_verified(directory, stamps=stamps)
        self.info = describe(directory)
        self._directory = directory

    def tokenizer(self) -> Any:
        """See `Parts`."""
        tokenizer = self._directory / "tokenizer"
        return T5TokenizerFast.from_pretrained(tokenizer, local_files_only=True)

    def schedule(self) -> Any:
        """See `Parts`."""
        kind = HeliosDMDScheduler if self.info.variant == "distilled" else HeliosScheduler
        return kind.from_pretrained(self._directory, subfolder="scheduler", local_files_only=True)

    def vae(self) -> Any:
        """See `Parts`."""
        return AutoencoderKLWan.from_pretrained(
            self._directory, subfolder="vae", dtype=torch.float32, **_LOCAL
        )

    def transformer_bytes(self, dtype: torch.dtype) -> int:
        """See `Parts`; read from the headers of the weights' files."""
        return weight_bytes(self._directory / "transformer", dtype)

    def transformer(self, dtype: torch.dtype, device: torch.device) -> Any:
        """See `Parts`."""
        stock = HeliosTransformer3DModel.from_pretrained(
            self._directory, subfolder="transformer", dtype=dtype, **_LOCAL
        )
        return stock.to(device)

    def text_encoder(
        self, tokenizer: Any, dtype: torch.dtype, device: torch.device
    ) -> PromptReader:
        """See `Parts`."""
        return TextEncoder(self._directory, tokenizer, self.info.max_tokens, dtype, device)
