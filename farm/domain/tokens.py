"""Which texts have more tokens than a model reads, asking its tokenizer as little as possible.

Tokenizing 100,000 prompts takes longer than all else about them. Most are short, and nearly all
are made of words that came before: the sum of the words' counts, remembered, bounds the count of
the text. Only what comes near the limit is counted exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each text as the model would get them, special ones included."""

_WORDS_MAX: Final = 100_000
_WORD_CHARS_MAX: Final = 48
# Words alone may count otherwise than words in a text; so the bound decides only well below.
_SURE_SHARE: Final = 0.9


class TokenLimit:
    """Finds the texts over `limit` tokens."""

    def __init__(self, count: CountTokens, limit: int) -> None:
        self.limit = limit
        self._count = count
        self._words: dict[str, int] = {}
        self._special: int | None = None

    def over(self, texts: Sequence[str]) -> dict[int, int]:
        """Index → exact number of tokens, of the texts over the limit."""
        near = self._near([i for i, text in enumerate(texts) if not self._is_short(text)], texts)
        if not near:
            return {}
        counts = self._count([texts[i] for i in near])
        return {i: n for i, n in zip(near, counts, strict=True) if n > self.limit}

    def _is_short(self, text: str) -> bool:
        # A token holds a character at least, or marks a word's start. Only in ASCII: some
        # characters become several when they are normalised.
        return text.isascii() and len(text) + text.count(" ") + 2 <= self.limit

    def _near(self, indexes: list[int], texts: Sequence[str]) -> list[int]:
        """Those whose words' counts do not add up to well below the limit."""
        split = {i: texts[i].split() for i in indexes}
        new = {word for words in split.values() for word in words} - self._words.keys()
        new = {word for word in new if len(word) <= _WORD_CHARS_MAX}
        self._learn(sorted(new))
        sure, known, near = self.limit * _SURE_SHARE, self._words, []
        for i, words in split.items():
            try:
                if sum(map(known.__getitem__, words)) <= sure:
                    continue
            except KeyError:
                pass
            near.append(i)
        return near

    def _learn(self, words: list[str]) -> None:
        if self._special is None:
            self._special = self._count([""])[0]
        if len(self._words) + len(words) > _WORDS_MAX:
            self._words = {}
        if words:
            counts = self._count(words)
            self._words.update(
                (word, n - self._special) for word, n in zip(words, counts, strict=True)
            )
