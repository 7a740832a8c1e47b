"""The text encoder in memory, for as long as a shard's prompts take and no longer."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor
from transformers import UMT5EncoderModel

from node_agent.models import ModelError
from node_agent.render.helios.group_offload import Offload, choose, offload
from node_agent.render.helios.placement import Caps, give_back, room, weight_bytes

WORKING_BYTES = 1 << 29
"""GPU memory of encoding one prompt beside the weights; estimated from the shapes."""


class TextEncoder:
    """Loaded by `with`, gone after it. Raises `ModelError` where there is no room for it."""

    def __init__(
        self,
        directory: Path,
        tokenizer: Any,
        tokens: int,
        dtype: torch.dtype,
        device: torch.device,
        caps: Caps,
    ) -> None:
        self._directory = directory / "text_encoder"
        self._tokenizer = tokenizer
        self._tokens = tokens
        self._dtype = dtype
        self._device = device
        self._caps = caps
        self._model: Any = None

    def check_room(self) -> None:
        """Raise `ModelError`, with numbers, where there is no room for it now."""
        self._place()

    def __enter__(self) -> Self:
        placement = self._place()
        model = UMT5EncoderModel.from_pretrained(
            self._directory, dtype=self._dtype, local_files_only=True, use_safetensors=True
        )
        self._model = model.eval().requires_grad_(False)
        self._check_embeddings()
        if placement is Offload.RESIDENT:
            self._model.to(self._device)
        else:
            offload(self._model, self._device, placement)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._model = None
        give_back(self._device)

    @torch.inference_mode()
    def encode(self, cleaned: str) -> Tensor:
        """Embeddings (tokens, text dimension) of a cleaned text's real tokens, on the CPU.

        Padded before the encoder and not only after it: its sums depend on the length in the last
        bit.
        """
        inputs = self._tokenizer(
            [cleaned], padding="max_length", max_length=self._tokens, return_tensors="pt"
        )
        mask, ids = inputs.attention_mask, inputs.input_ids
        output = self._model(ids.to(self._device), mask.to(self._device))
        states: Tensor = output.last_hidden_state
        return states[0, : int(mask.sum())].cpu().clone()

    def _place(self) -> Offload:
        if self._device.type == "cpu":
            return Offload.RESIDENT
        weights = weight_bytes(self._directory, self._dtype)
        return choose("text encoder", weights, room(self._device, self._caps), WORKING_BYTES)

    def _check_embeddings(self) -> None:
        """Some checkpoints load with all token embeddings zero: every prompt would be the same."""
        if not self._model.get_input_embeddings().weight.any():
            raise ModelError(
                f"{self._directory}: the token embeddings loaded as zeros; save the text"
                " encoder again with the version of transformers that this node runs"
            )
