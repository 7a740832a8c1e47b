"""Text to embeddings, apart from rendering, exactly as the stock pipeline cleans and pads.

The text encoder is as large as what a small host has to spare (11 GB in bfloat16), so it is loaded
for the prompts of a whole shard at once, and is gone before their clips render. What it gave is
kept: in memory, in a folder of the node's disk, and with each clip in the object store.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterable
from pathlib import Path

from diffusers.pipelines.helios.pipeline_helios import prompt_clean
from torch import Tensor

from node_agent.render.helios.cross_attention import PromptKeys
from node_agent.render.helios.embeddings import (
    EmbeddingFolder,
    embeddings_bytes,
    read_embeddings,
    text_key,
)
from node_agent.render.helios.model import HeliosModel
from node_agent.render.renderer import CheckpointError, PromptError

logger = logging.getLogger(__name__)

KEPT_PROMPTS = 64
"""Encoded prompts kept in host memory, at most 4 MB each: a shard's, and the negative prompt's."""

KEPT_KEYS = 4
"""Prompts whose keys and values are kept on the device, some 80 MB for each 100 tokens of the real
model, beside those that clips in render hold themselves."""


class PromptEncoder:
    """Encodes prompts and keeps the latest, without their padding."""

    def __init__(self, model: HeliosModel, folder: Path | None = None) -> None:
        """`folder` keeps embeddings between starts of the process; None keeps none."""
        self._model = model
        self._folder = EmbeddingFolder(folder, model.manifest.digest) if folder else None
        self._expected: list[str] = []
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._kept_keys: OrderedDict[object, PromptKeys] = OrderedDict()

    def count_tokens(self, text: str) -> int:
        """Tokens of the cleaned text, end token included."""
        return self._count(prompt_clean(text))

    def expect(self, texts: Iterable[str]) -> None:
        """Texts of clips to come: the next start of the text encoder serves them too."""
        self._expected = [*dict.fromkeys(map(prompt_clean, texts))][:KEPT_PROMPTS]

    def prepare(self, texts: Iterable[str]) -> None:
        """Encode those of `texts` that are not known yet, with one start of the text encoder.

        Raises `PromptError` for a text over the limit.
        """
        unknown = self._unknown(map(prompt_clean, texts))
        for text in unknown:
            self._check(text)
        if unknown:
            room = max(0, KEPT_PROMPTS - len(unknown))
            more, self._expected = self._unknown(self._expected)[:room], []
            with self._model.text_encoder() as encoder:
                for text in dict.fromkeys([*more, *unknown]):
                    self._keep(text, encoder.encode(text))
            logger.info("%d prompts encoded", len(unknown))

    def encode(self, text: str) -> tuple[Tensor, int]:
        """Embeddings (1, 512, text dimension), zeros after the last token, and the tokens' count.

        On the model's device, in the transformer's type. Raises `PromptError` as `prepare` does.
        """
        kept = self.tokens(text)
        padded = kept.new_zeros(1, self._model.info.max_tokens, kept.shape[1])
        padded[0, : kept.shape[0]] = kept
        return padded.to(self._model.device, self._model.dtype), kept.shape[0]

    def keys(self, text: str) -> PromptKeys:
        """What the text means to every block, with the LoRAs of now. Raises `PromptError`."""
        what = text, self._model.loras
        kept = self._kept_keys.pop(what, None)
        if kept is None:
            embeddings, tokens = self.encode(text)
            kept = self._model.projections.keys(embeddings, tokens)
        self._kept_keys[what] = kept
        while len(self._kept_keys) > KEPT_KEYS:
            self._kept_keys.popitem(last=False)
        return kept

    def tokens(self, text: str) -> Tensor:
        """Embeddings (tokens, text dimension) of the real tokens, on the CPU."""
        cleaned = prompt_clean(text)
        found = self._known(cleaned)
        if found is None:
            self.prepare([text])
            found = self._kept[text_key(cleaned)]
        return found

    def file_of(self, texts: Iterable[str]) -> bytes:
        """A file of the embeddings of `texts`, for `take_over` elsewhere."""
        found = {text_key(prompt_clean(text)): self.tokens(text) for text in texts}
        return embeddings_bytes(found, self._model.manifest.digest)

    def take_over(self, file: Path) -> None:
        """Know what an earlier attempt has encoded. Raises `CheckpointError` for a broken file."""
        for key, embedding in read_embeddings(file, self._model.manifest.digest).items():
            if embedding.ndim != 2 or embedding.shape[1] != self._model.info.text_dim:
                raise CheckpointError(f"{file}: embeddings are {tuple(embedding.shape)}")
            self._remember(key, embedding)

    def _count(self, cleaned: str) -> int:
        return len(self._model.tokenizer(cleaned, verbose=False).input_ids)

    def check(self, text: str) -> None:
        """Raise `PromptError` for a text over the limit."""
        self._check(prompt_clean(text))

    def _check(self, cleaned: str) -> None:
        """The stock pipeline would cut a text over the limit without a word."""
        tokens, limit = self._count(cleaned), self._model.info.max_tokens
        if tokens > limit:
            raise PromptError(
                f"the prompt has {tokens} tokens, this model takes {limit}; shorten it"
            )

    def _unknown(self, cleaned: Iterable[str]) -> list[str]:
        return [text for text in dict.fromkeys(cleaned) if self._known(text) is None]

    def _known(self, cleaned: str) -> Tensor | None:
        key = text_key(cleaned)
        found = self._kept.pop(key, None)
        if found is None and self._folder is not None:
            found = self._folder.read(key)
        if found is not None:
            self._remember(key, found)
        return found

    def _keep(self, cleaned: str, embedding: Tensor) -> None:
        key = text_key(cleaned)
        if self._folder is not None:
            self._folder.write(key, embedding)
        self._remember(key, embedding)

    def _remember(self, key: str, embedding: Tensor) -> None:
        self._kept[key] = embedding
        while len(self._kept) > KEPT_PROMPTS:
            self._kept.popitem(last=False)
