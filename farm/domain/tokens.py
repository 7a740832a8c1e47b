"""Which texts have more tokens than a model reads, asking its tokenizer as little as possible.

Tokenizing 100,000 prompts takes longer than all else about them. Most are short, and nearly all
are made of words that came before: the sum of the words' counts, remembered, stands for the count
of the text. What comes near the limit is counted exactly; so is everything where words come and
do not come back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

CountTokens = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each text as the model would get them, special ones included."""

_WORDS_MAX: Final = 100_000
_WORD_CHARS_MAX: Final = 48
# A text costs its tokenizer about as much as so many words apart.
_NEW_WORDS_OF_TEXT: Final = 20
# Words alone may count otherwise than in a text. So the sum decides only well below the limit,
# until it has been held against so many exact counts and was never the smaller one.
_SURE_SHARE: Final = 0.9
_PROOFS: Final = 200


class _Words(dict[str, int]):
    """Tokens of words; a word that was never counted has as many as it possibly can."""

    def __missing__(self, word: str) -> int:
        # A token holds a character at least, or marks a word's start; in other scripts a
        # character may become several when it is normalised.
        return len(word) + 1 if word.isascii() else 20 * len(word)


class TokenLimit:
    """Finds the texts over `limit` tokens."""

    def __init__(self, count: CountTokens, limit: int) -> None:
        self.limit = limit
        self._count = count
        self._words = _Words()
        self._special = -1
        """Tokens of an empty text; negative before it was counted."""
        self._proofs = 0
        """Exact counts that were no larger than the sum; negative once one was larger."""

    def over(self, texts: Sequence[str]) -> dict[int, int]:
        """Index → exact number of tokens, of the texts over the limit."""
        sure = self.limit if self._proofs >= _PROOFS else self.limit * _SURE_SHARE
        near = self._near(texts, sure)
        if not near:
            return {}
        counts = dict(zip(near, self._count([texts[i] for i in near]), strict=True))
        for i, total in near.items():
            if total is not None and self._proofs >= 0:
                self._proofs = self._proofs + 1 if counts[i] <= total else -1
        return {i: exact for i, exact in counts.items() if exact > self.limit}

    def _near(self, texts: Sequence[str], sure: float) -> dict[int, int | None]:
        """Texts whose words add up to more than `sure`: the sum, where all words are known."""
        doubtful: dict[int, list[str]] = {}
        for i, text in enumerate(texts):
            if len(text) * 2 > sure or not text.isascii():
                words = text.split()
                if self._sum(words) > sure:
                    doubtful[i] = words
        if not doubtful:
            return {}
        self._learn(set().union(*doubtful.values()), len(doubtful))
        near: dict[int, int | None] = {}
        for i, words in doubtful.items():
            total = self._sum(words)
            if total > sure:
                near[i] = total if all(word in self._words for word in words) else None
        return near

    def _sum(self, words: Sequence[str]) -> int:
        """Tokens of the words and the special ones; too many rather than too few."""
        return sum(map(self._words.__getitem__, words)) + max(self._special, 1)

    def _learn(self, words: set[str], texts: int) -> None:
        new = [word for word in words - self._words.keys() if len(word) <= _WORD_CHARS_MAX]
        if not new or len(new) > _NEW_WORDS_OF_TEXT * texts:
            return
        if len(self._words) + len(new) > _WORDS_MAX:
            self._words.clear()
        if self._special < 0:
            self._special = self._count([""])[0]
        counts = self._count(new)
        self._words.update((word, n - self._special) for word, n in zip(new, counts, strict=True))
