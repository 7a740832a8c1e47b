"""Text to embeddings, once per clip, exactly as the stock pipeline cleans and pads."""

from __future__ import annotations

from collections import OrderedDict

import torch
from diffusers.pipelines.helios.pipeline_helios import prompt_clean
from torch import Tensor

from node_agent.render.helios.model import HeliosModel
from node_agent.render.renderer import PromptError

KEPT_PROMPTS = 32
"""Encoded prompts kept in host memory, at most 4 MB each; a shard and the negative prompt."""


class PromptEncoder:
    """Encodes prompts and keeps the latest, without their padding."""

    def __init__(self, model: HeliosModel) -> None:
        self._model = model
        self._kept: OrderedDict[str, Tensor] = OrderedDict()

    def count_tokens(self, text: str) -> int:
        """Tokens of the cleaned text, end token included."""
        return len(self._model.tokenizer(prompt_clean(text), verbose=False).input_ids)

    def encode(self, text: str) -> Tensor:
        """Embeddings (1, 512, text dimension), zeros after the last token.

        Raises `PromptError` for a text over the limit, which the stock pipeline would cut short
        without a word.
        """
        kept = self._kept.pop(text, None)
        if kept is None:
            kept = self._embed(text)
        self._kept[text] = kept
        while len(self._kept) > KEPT_PROMPTS:
            self._kept.popitem(last=False)
        padded = kept.new_zeros(1, self._model.info.max_tokens, kept.shape[1])
        padded[0, : kept.shape[0]] = kept
        return padded.to(self._model.device, self._model.transformer.dtype)

    @torch.inference_mode()
    def _embed(self, text: str) -> Tensor:
        """Embeddings (tokens, text dimension) of the real tokens, on the CPU."""
        limit = self._model.info.max_tokens
        tokens = self.count_tokens(text)
        if tokens > limit:
            raise PromptError(
                f"the prompt has {tokens} tokens, this model takes {limit}; shorten it"
            )
        # Padded before the encoder, not only after: its sums depend on the length in the last bit.
        inputs = self._model.tokenizer(
            [prompt_clean(text)], padding="max_length", max_length=limit, return_tensors="pt"
        )
        mask = inputs.attention_mask.to(self._model.device)
        ids = inputs.input_ids.to(self._model.device)
        states: Tensor = self._model.text_encoder(ids, mask).last_hidden_state
        return states[0, :tokens].cpu().clone()
