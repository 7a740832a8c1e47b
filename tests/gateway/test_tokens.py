"""Tokens are counted as the model's own pipeline counts them."""

from __future__ import annotations

import html
import re
from pathlib import Path

import ftfy
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from farm.gateway.settings import GatewaySettings
from farm.gateway.tokens import cleaned, count_words, load_counter
from tests.fixtures.gateway import TOKEN, Rig

TEXTS = [
    "",
    "a red fox",
    "  white \n\t space  ",
    "&amp;lt;b&gt; &amp; entities",
    "schÃ¶n mojibake",
    "“curly” … ½ ﬁne",
    "日本語のテキスト",
    "bell\x07 and null-width\u200b",
]


def as_the_pipeline_does(text: str) -> str:
    """diffusers' `prompt_clean`, as far as its public behaviour goes."""
    text = html.unescape(html.unescape(ftfy.fix_text(text))).strip()
    return re.sub(r"\s+", " ", text).strip()


@pytest.mark.parametrize("text", TEXTS)
def test_text_is_cleaned_as_in_the_pipeline(text: str) -> None:
    assert cleaned(text) == as_the_pipeline_does(text)


def model_dir(path: Path) -> Path:
    vocabulary = [("</s>", 0.0), ("<unk>", 0.0)]
    vocabulary += [(f"\u2581{word}", -2.0) for word in ("a", "red", "fox")]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=1))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", special_tokens=[("</s>", 0)]
    )
    tokenizer.enable_truncation(5)
    tokenizer.enable_padding(length=5)
    (path / "tokenizer").mkdir()
    tokenizer.save(str(path / "tokenizer" / "tokenizer.json"))
    return path


def test_the_models_tokenizer_counts_without_cutting_or_padding(tmp_path: Path) -> None:
    count = load_counter(model_dir(tmp_path))
    assert count(["a red  fox", "", "red " * 20]) == [4, 1, 21]


async def test_a_prompt_that_the_model_would_cut_is_refused(tmp_path: Path) -> None:
    settings = GatewaySettings(api_token=TOKEN, model_dir=model_dir(tmp_path))
    async with Rig(tmp_path, settings=settings) as rig:
        assert not (await rig.submit("red " * 511)).problems
        answer = await rig.submit("a fox", "red " * 512, name="longer")
        (problem,) = answer.problems
        assert (problem.row, problem.column) == (3, "prompt")
        assert "513 tokens" in problem.what
        assert "512" in problem.what


def test_without_a_tokenizer_words_are_a_lower_bound(tmp_path: Path) -> None:
    for where in (None, tmp_path):
        assert load_counter(where) is count_words
    assert count_words(["a red fox", ""]) == [4, 1]
