"""A small Unigram tokenizer, trained in a second and always to the same bytes.

It stands in for UMT5's: the same kind of model, the same special tokens, English only. Trained
here rather than by `tokenizers.trainers.UnigramTrainer`, whose scores change from run to run;
helios-tiny's digest must not.
"""

from __future__ import annotations

import math
import string
from collections import Counter
from collections.abc import Iterable
from importlib import resources

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

SPECIAL = ("<pad>", "</s>", "<unk>")
"""Ids 0, 1 and 2, as UMT5 has them."""

SEED_PIECES = 12_000
PRUNING_ROUNDS = 3
PIECE_CHARS_MAX = 14
WORD_START = "\u2581"


def corpus() -> list[str]:
    """The English text that ships with the package: one HeliosBench prompt per line."""
    text = resources.files(__package__).joinpath("tiny_corpus.txt").read_text(encoding="utf-8")
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def train(texts: Iterable[str]) -> Tokenizer:
    """Train a Unigram model: seed it with frequent substrings, then keep what gets used.

    Each round segments the words with the current model (Viterbi, by the library), drops the
    pieces which no segmentation uses and scores the rest by the logarithm of their share.
    """
    words = Counter(f"{WORD_START}{word}" for text in texts for word in text.split())
    alphabet = sorted({*"".join(words), *string.printable.strip()})
    counts = _seed(words)
    for _ in range(PRUNING_ROUNDS):
        model = _unigram(alphabet, counts)
        counts = Counter()
        for word, count in sorted(words.items()):
            for token in model.tokenize(word):
                counts[token.value] += count
    return _finished(_unigram(alphabet, counts))


def _seed(words: Counter[str]) -> Counter[str]:
    """The substrings which cover most text, with their counts."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        bounds = range(len(word) + 1)
        for start, end in ((a, b) for a in bounds for b in bounds[a + 1 : a + 1 + PIECE_CHARS_MAX]):
            counts[word[start:end]] += count
    by_cover = sorted(counts.items(), key=lambda item: (-item[1] * len(item[0]), item[0]))
    return Counter(dict(by_cover[:SEED_PIECES]))


def _unigram(alphabet: list[str], counts: Counter[str]) -> models.Unigram:
    """A model of the counted pieces and, so that nothing plain is unknown, every character."""
    smoothed = {piece: counts[piece] + 0.1 for piece in {*alphabet, *counts}}
    total = math.fsum(smoothed.values())
    scored = [(piece, math.log(count / total)) for piece, count in smoothed.items()]
    scored.sort(key=lambda item: (-item[1], item[0]))
    return models.Unigram([(piece, 0.0) for piece in SPECIAL] + scored, SPECIAL.index("<unk>"))


def _finished(model: models.Unigram) -> Tokenizer:
    """Wrap the model as T5 does: NFKC, word starts marked, `</s>` at the end."""
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement=WORD_START)
    tokenizer.decoder = decoders.Metaspace(replacement=WORD_START)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", SPECIAL.index("</s>"))]
    )
    return tokenizer
