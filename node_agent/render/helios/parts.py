"""Where a model's parts come from: the files of a verified directory, or elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import torch
from diffusers import AutoencoderKLWan, HeliosDMDScheduler, HeliosScheduler
from torch import Tensor
from transformers import T5TokenizerFast

from node_agent.models import Manifest, ModelInfo, describe, load_verified
from node_agent.models.info import read_config
from node_agent.render.helios.placement import Caps
from node_agent.render.helios.slabs.files import Change, as_it_is, empty_transformer, fill
from node_agent.render.helios.text_encoder import TextEncoder
from node_agent.render.helios.tiny_vae import TinyVae, load_tiny_vae

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

    def tiny_vae(self) -> TinyVae:
        """In float32, on the CPU. Raises `ModelError` where there is none that can be used."""
        ...

    def empty_transformer(self, dtype: torch.dtype) -> Any:
        """HeliosTransformer3DModel, the stock one, with weights that take no memory yet."""
        ...

    def fill(
        self, into: Mapping[str, Tensor], worker: torch.device, change: Change = as_it_is
    ) -> None:
        """Write the transformer's weights into places by name: see `files.fill`."""
        ...

    def text_encoder(
        self, tokenizer: Any, dtype: torch.dtype, device: torch.device, caps: Caps
    ) -> PromptReader:
        """What encodes prompts, within the caps; not loaded yet."""
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

    def tiny_vae(self) -> TinyVae:
        """See `Parts`."""
        return load_tiny_vae(self._directory / "tiny_vae")

    def empty_transformer(self, dtype: torch.dtype) -> Any:
        """See `Parts`."""
        config = read_config(self._directory / "transformer" / "config.json")
        return empty_transformer(config, dtype)

    def fill(
        self, into: Mapping[str, Tensor], worker: torch.device, change: Change = as_it_is
    ) -> None:
        """See `Parts`."""
        stored = bool(self.info.profile)
        fill(self._directory / "transformer", into, worker, change, stored=stored)

    def text_encoder(
        self, tokenizer: Any, dtype: torch.dtype, device: torch.device, caps: Caps
    ) -> PromptReader:
        """See `Parts`."""
        return TextEncoder(self._directory, tokenizer, self.info.max_tokens, dtype, device, caps)
