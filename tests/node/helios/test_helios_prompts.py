"""Prompts are encoded whole or refused, and kept without growing."""

import os
import weakref
from dataclasses import replace

import numpy as np
import pytest
import torch

from node_agent.models import ModelError
from node_agent.render.helios import tiny_tokenizer
from node_agent.render.helios.embeddings import EmbeddingFolder
from node_agent.render.helios.prompts import KEPT_PROMPTS, PromptEncoder
from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.helios.text_encoder import TextEncoder
from node_agent.render.renderer import CheckpointError, PromptError, PromptMark

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
    renderer.expect([spec(prompt=words_of_one_token(prompts, 600)), spec(prompt="A kite")])
    renderer.start(spec(prompt="A kite"))


def test_only_the_latest_prompts_are_kept(prompts):
    prompts.prepare(f"A film about the number {number}" for number in range(KEPT_PROMPTS + 5))
    assert len(prompts._kept) == KEPT_PROMPTS
    assert all(len(kept) < 20 for kept in prompts._kept.values())


@pytest.fixture
def starts(monkeypatch):
    """A reference to each text encoder that was loaded."""
    counted, enter = [], TextEncoder.__enter__

    def counting(self):
        entered = enter(self)
        counted.append(weakref.ref(self._model))
        return entered

    monkeypatch.setattr(TextEncoder, "__enter__", counting)
    return counted


def test_a_shard_s_prompts_take_one_start_of_the_text_encoder(model_directory, spec, starts):
    night = PromptMark(chunk=1, prompt="Night falls.")
    specs = [spec(prompt=f"A kite, number {n}", schedule=(night,)) for n in range(4)]
    renderer = HeliosRenderer(model_directory("base"))
    assert not starts
    renderer.expect([replace(each, steps=()) for each in specs])
    assert not starts
    for each in specs:
        renderer.start(replace(each, steps=())).prompt  # noqa: B018 - its keys are computed
    assert len(starts) == 1


def test_a_broken_input_is_said_before_the_text_encoder_starts(
    model_directory, spec, starts, tmp_path
):
    renderer = HeliosRenderer(model_directory())
    with pytest.raises(PromptError, match="no such file"):
        renderer.start(spec(prompt="A kite", image=str(tmp_path / "no.png")))
    assert not starts


def test_the_text_encoder_is_gone_before_a_clip_renders(model_directory, spec, starts):
    renderer = HeliosRenderer(model_directory())
    renderer.start(spec(prompt="A kite"))
    [encoder] = starts
    assert encoder() is None


def test_where_there_is_no_room_for_both_the_transformer_goes_and_comes_back(
    model_directory, spec, render, monkeypatch, assert_equal_chunks
):
    expected = render(HeliosRenderer(model_directory()).start(spec(prompt="A kite")), 2)
    renderer = HeliosRenderer(model_directory())
    transformer = weakref.ref(renderer._model.transformer)
    there, encode = [], TextEncoder.encode

    def no_room(_encoder):
        raise ModelError("no room for both")

    def watching(self, cleaned):
        there.append(transformer())
        return encode(self, cleaned)

    monkeypatch.setattr(TextEncoder, "check_room", no_room)
    monkeypatch.setattr(TextEncoder, "encode", watching)
    chunks = render(renderer.start(spec(prompt="A kite")), 2)
    assert there == [None]
    assert_equal_chunks(chunks, expected)


def test_embeddings_outlive_the_process_in_a_folder(model_directory, spec, starts, tmp_path):
    first = HeliosRenderer(model_directory(), embeddings=tmp_path)
    expected = first.start(spec(prompt="A kite")).step(lambda: False)
    second = HeliosRenderer(model_directory(), embeddings=tmp_path)
    again = second.start(spec(prompt="A kite")).step(lambda: False)
    assert len(starts) == 1
    assert np.array_equal(again.frames, expected.frames)


def test_a_damaged_embedding_is_made_again(model_directory, spec, starts, tmp_path):
    HeliosRenderer(model_directory(), embeddings=tmp_path).start(spec(prompt="A kite"))
    [file] = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-100])
    HeliosRenderer(model_directory(), embeddings=tmp_path).start(spec(prompt="A kite"))
    assert len(starts) == 2
    HeliosRenderer(model_directory(), embeddings=tmp_path).start(spec(prompt="A kite"))
    assert len(starts) == 2


def test_the_folder_has_a_limit_and_the_oldest_leave(tmp_path):
    folder = EmbeddingFolder(tmp_path, "d" * 64, bytes_max=3000)
    for number in range(5):
        folder.write(str(number), torch.full((8, 16), float(number)))
        os.utime(next(tmp_path.rglob(f"{number}.safetensors")), (number, number))
    kept = sorted(path.stem for path in tmp_path.rglob("*.safetensors"))
    assert kept == ["1", "2", "3", "4"]
    assert sum(path.stat().st_size for path in tmp_path.rglob("*.safetensors")) <= 3000
    assert torch.equal(folder.read("4"), torch.full((8, 16), 4.0))


def test_another_card_needs_no_text_encoder(model_directory, spec, starts, tmp_path):
    first = HeliosRenderer(model_directory())
    wanted = spec(schedule=(PromptMark(chunk=1, prompt="Night falls."),))
    clip = first.start(wanted)
    file = tmp_path / "embeddings.safetensors"
    file.write_bytes(first.embeddings(clip))
    assert first.embeddings(clip) == file.read_bytes()
    starts.clear()
    other = HeliosRenderer(model_directory())
    other.take_over(file)
    one, two = other.start(wanted).step(lambda: False), clip.step(lambda: False)
    assert not starts
    assert np.array_equal(one.frames, two.frames)


def test_embeddings_of_another_model_are_refused(model_directory, spec, tmp_path):
    first = HeliosRenderer(model_directory())
    file = tmp_path / "embeddings.safetensors"
    file.write_bytes(first.embeddings(first.start(spec())))
    with pytest.raises(CheckpointError, match="model digest is"):
        HeliosRenderer(model_directory("base")).take_over(file)
    file.write_bytes(b"nothing of the kind")
    with pytest.raises(CheckpointError, match="not a readable file of embeddings"):
        first.take_over(file)


def test_every_prompt_of_heliosbench_fits_with_room_to_spare(prompts):
    texts = tiny_tokenizer.corpus()
    counts = [prompts.count_tokens(text) for text in texts]
    assert len(texts) == 240
    assert max(counts) < LIMIT / 2
    assert sum(counts) / sum(len(text.split()) for text in texts) == pytest.approx(1.3, abs=0.15)
