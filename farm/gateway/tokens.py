"""How many tokens a text has: what the text encoder would cut off without a word is refused here.

The text is cleaned as Helios's pipeline does: mojibake and HTML entities repaired, white space
joined.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import ftfy
from tokenizers import Tokenizer

from farm.domain.tokens import CountTokens


class ModelTokens:
    """Counts with a model's own tokenizer. Safe to share between threads."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        self._tokenizer = tokenizer

    def __call__(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, special ones counted in."""
        encoded = self._tokenizer.encode_batch_fast([cleaned(text) for text in texts])
        return [len(encoding.ids) for encoding in encoded]


def count_words(texts: Sequence[str]) -> list[int]:
    """Words of each text and an end token: a lower bound, for farms without a tokenizer."""
    return [len(text.split()) + 1 for text in texts]


def load_counter(model_dir: Path | None) -> CountTokens:
    """What counts with the tokenizer of a model directory; `count_words` where there is none."""
    path = model_dir / "tokenizer" / "tokenizer.json" if model_dir else None
    if path is None or not path.is_file():
        return count_words
    return ModelTokens(Tokenizer.from_file(str(path)))


def cleaned(text: str) -> str:
    """The text as Helios's pipeline hands it to its tokenizer."""
    # What is plain ASCII needs none of ftfy's half millisecond.
    if not (text.isascii() and text.isprintable()) or "&" in text:
        text = html.unescape(html.unescape(ftfy.fix_text(text)))
    return " ".join(text.split())
