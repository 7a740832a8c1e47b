"""Prompts are encoded whole or refused, and kept without growing."""

import pytest

from node_agent.render.helios import tiny_tokenizer
from node_agent.render.helios.prompts import KEPT_PROMPTS, PromptEncoder
from node_agent.render.renderer import PromptError

LIMIT = 512


@pytest.fixture
def prompts(renderer):
    return PromptEncoder(renderer._model)


def words_of_one_token(prompts, count):
    word = "the"
    assert prompts.count_tokens(word) == 2
    return " ".join([word] * count)


def test_a_prompt_over_the_limit_is_refused_with_its_token_count(renderer, prompts, spec):
    text = words_of_one_token(prompts, LIMIT)
    with pytest.raises(PromptError, match=f"the prompt has {LIMIT + 1} tokens, this model takes"):
        renderer.start(spec(prompt=text))


def test_a_prompt_at_the_limit_keeps_every_token(prompts):
    embedding, tokens = prompts.encode(words_of_one_token(prompts, LIMIT - 1))
    assert tokens == LIMIT
    assert embedding.shape == (1, LIMIT, 32)
    assert embedding[0, -1].any()


def test_padding_is_zero(prompts):
    text = "A red fox"
    [embedding], tokens = prompts.encode(text)
    assert tokens == prompts.count_tokens(text)
    assert embedding[:tokens].any(dim=1).all()
    assert not embedding[tokens:].any()


def test_an_over_long_prompt_does_not_spoil_its_neighbours_preparation(renderer, prompts, spec):
    renderer.prepare([spec(prompt=words_of_one_token(prompts, 600)), spec(prompt="A kite")])
    renderer.start(spec(prompt="A kite"))


def test_only_the_latest_prompts_are_kept(prompts):
    for number in range(KEPT_PROMPTS + 5):
        prompts.encode(f"A film about the number {number}")
    assert len(prompts._kept) == KEPT_PROMPTS
    assert all(len(kept) < 20 for kept in prompts._kept.values())


def test_every_prompt_of_heliosbench_fits_with_room_to_spare(prompts):
    texts = tiny_tokenizer.corpus()
    counts = [prompts.count_tokens(text) for text in texts]
    assert len(texts) == 240
    assert max(counts) < LIMIT / 2
    assert sum(counts) / sum(len(text.split()) for text in texts) == pytest.approx(1.3, abs=0.15)
