"""A training goes on as if it had never stopped; its model loads and renders as any other."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from node_agent.models import ModelError, verify
from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.renderer import PromptMark
from tools.mini.__main__ import main
from tools.mini.curves import curves
from tools.mini.evaluate import evaluate
from tools.mini.export import BYTES_MAX, export
from tools.mini.judge import UNSEEN, read
from tools.mini.learner import numbers, read_tensors
from tools.mini.lessons import lesson
from tools.mini.plan import PLANS
from tools.mini.pupil import build_pupil, build_transformer
from tools.mini.renders import (
    SWITCH,
    Ask,
    How,
    drawn,
    held_out_asks,
    picture_asks,
    rendered,
    switch_asks,
)
from tools.mini.shards import Shard
from tools.mini.stages import Clock, OutOfTime, UnfinishedTraining, start_from, train, trained
from tools.mini.text import build_text_encoder, build_tokenizer, encode_captions

SMOKE = PLANS["smoke"]
SHORT = replace(
    SMOKE,
    **dict.fromkeys(("picture_steps", "film_steps", "chunk_steps", "word_steps"), 2),
    **dict.fromkeys(("decoder_steps", "seam_steps"), 2),
)
CONTENT = ("disc", "red", "blue", "left")


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    directory = tmp_path_factory.mktemp("training")
    torch.set_num_threads(1)
    train(SMOKE, directory, Clock(10), flow_steps=40)
    return directory


@pytest.fixture(scope="module")
def model(training, tmp_path_factory):
    directory = tmp_path_factory.mktemp("model") / "mini"
    manifest = export(training, directory)
    assert manifest.size < BYTES_MAX
    return directory


def losses(directory, stage):
    _, told = read_tensors(directory / f"{stage}.safetensors")
    return [loss for _, loss in json.loads(told["losses"])]


@pytest.mark.parametrize(("stage", "falls_to"), [("pictures", 0.9), ("words", 0.9), ("flow", 0.9)])
def test_the_loss_falls(training, stage, falls_to):
    first, *_, last = losses(training, stage)
    assert last < falls_to * first


def test_curves_have_a_panel_for_each_stage(training):
    drawn = curves(training)
    assert drawn.count("<polyline") == 7
    assert "flow: loss by step" in drawn


def test_what_was_stopped_goes_on_to_the_same_weights(tmp_path):
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    train(SHORT, whole, Clock(10), flow_steps=4)
    with pytest.raises(OutOfTime):
        train(SHORT, stopped, Clock(0), flow_steps=4)
    for steps in (1, 3, 4):
        train(SHORT, stopped, Clock(10), flow_steps=steps)
    for name in ("pictures", "films", "chunks", "words", "decoder", "seams", "flow"):
        ours, _ = read_tensors(stopped / f"{name}.safetensors")
        theirs, _ = read_tensors(whole / f"{name}.safetensors")
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[each], theirs[each]) for each in ours)


def test_another_plan_does_not_go_on_in_the_same_directory(tmp_path):
    with pytest.raises(OutOfTime):
        train(SHORT, tmp_path, Clock(0))
    with pytest.raises(ValueError, match="seed"):
        train(replace(SHORT, seed=1), tmp_path, Clock(0))
    with pytest.raises(UnfinishedTraining, match="flow"):
        trained(tmp_path)


@torch.no_grad()
def test_the_pupil_is_the_stock_transformer_and_its_one_padding_token_all_of_them():
    tokenizer = build_tokenizer()
    encoder = build_text_encoder(len(tokenizer), SMOKE.text_dim, SMOKE.text_layers).eval()
    pupil = build_pupil(SMOKE)
    torch.nn.init.normal_(pupil.proj_out.weight, std=0.1)
    stock = build_transformer(SMOKE)
    stock.load_state_dict(pupil.state_dict())
    shard = Shard(torch.randn(2, 5, 16, 9, 8, 8), torch.randn(2, 16, 1, 8, 8), [CONTENT] * 2)
    memory = lesson([shard], 2, *numbers(1)).memory
    captions = ["a red disc moves left on a blue ground", ""]
    words = encode_captions(encoder, tokenizer, captions)
    latents, time = torch.randn(2, 16, 9, 8, 8), torch.tensor([700.0, 20.0])
    ours = pupil(latents, time, words, memory)

    padded = torch.zeros(2, 512, SMOKE.text_dim)
    padded[:, : words.states.shape[1]] = words.states
    history = {f"latents_history_{kind}": seen for kind, (seen, _) in memory.history.items()}
    places = {
        f"indices_latents_history_{kind}": at.expand(2, -1)
        for kind, (_, at) in memory.history.items()
    }
    theirs = stock(latents, time, padded, memory.chunk_at.expand(2, -1), **history, **places).sample
    assert (ours - theirs).abs().max() < 1e-4 * theirs.abs().max()


def test_lessons_know_all_kinds_of_beginnings():
    chunks = torch.arange(1.0, 11.0).view(2, 5, 1, 1, 1, 1).expand(2, 5, 16, 9, 2, 2)
    shard = Shard(chunks, torch.full((2, 16, 1, 2, 2), 99.0), [CONTENT] * 2)
    taught = lesson([shard], 300, *numbers(2))
    short = taught.memory.history["short"][0][:, 0, :, 0, 0]
    target = taught.targets[:, 0, 0, 0, 0]
    first = (target == 1) | (target == 6)
    from_text = first & (short == 0).all(dim=1)
    from_picture = first & (short[:, 1] > 50)
    assert torch.equal(first, from_text | from_picture)
    assert 0.3 < from_text.float().mean() < 0.5
    assert 0.04 < from_picture.float().mean() < 0.18
    before = taught.memory.history["short"][0][~first][:, 0, 1, 0, 0]
    assert ((before - target[~first]).abs() > 4).any()  # the partner's: the prompt has changed
    assert 0.03 < np.mean([told == "" for told in taught.captions]) < 0.2


def test_the_model_is_whole_and_renders_from_text_from_a_picture_and_through_a_switch(
    model, tmp_path
):
    assert verify(model) == []
    Image.new("RGB", (64, 64), "red").save(tmp_path / "red.png")
    switch = PromptMark(chunk=1, prompt="a white disc circles on a blue ground", blend_chunks=1)
    asks = [
        Ask("A red disc moves left on a blue ground.", CONTENT, 0),
        Ask("A red disc moves left on a blue ground.", CONTENT, 0, image=str(tmp_path / "red.png")),
        Ask("A red disc moves left on a blue ground.", CONTENT, 0, schedule=(switch,)),
    ]
    how = How(size=64, chunks=2, steps=(2,), guidance_scale=2.0)
    films = [film for _, film in rendered(HeliosRenderer(model), asks, how)]
    assert {film.shape for film in films} == {(66, 64, 64, 3)}
    assert np.abs(films[0][:33].astype(int) - films[2][:33]).max() <= 1  # lanes: the last bit
    assert not np.array_equal(films[0][33:], films[2][33:])
    assert not np.array_equal(films[0], films[1])


def test_a_distilled_one_renders_through_the_pyramid(tmp_path):
    few = {"pairs_of_shard": 1, "batch": 2, "size": 128, "stages": 3}
    train(replace(SHORT, **few), tmp_path / "training", Clock(10), flow_steps=4)
    export(tmp_path / "training", tmp_path / "mini")
    renderer = HeliosRenderer(tmp_path / "mini")
    assert renderer.info.variant == "distilled"
    how = How(size=128, chunks=2, steps=(1, 1, 1), guidance_scale=None)
    [(_, film)] = rendered(renderer, held_out_asks(1, 0), how)
    assert film.shape == (66, 128, 128, 3)


def test_what_cannot_be_is_said_in_a_line(monkeypatch, tmp_path):
    words = ["--threads", "1", "export", "--dir", str(tmp_path), "--to", str(tmp_path / "mini")]
    monkeypatch.setattr(sys, "argv", ["mini", *words])
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(SystemExit, match="train it first"):
        main()


def test_a_distilled_one_begins_with_what_a_base_one_has_learned(training, tmp_path):
    plan = replace(SMOKE, batch=2, size=128, stages=3)
    begun = tmp_path / "training"
    start_from(training, plan, begun)
    train(plan, begun, Clock(10), flow_steps=1)
    ours, _ = read_tensors(begun / "flow.safetensors")
    theirs, _ = read_tensors(training / "flow.safetensors")
    matrices = [each for each in theirs if "average.transformer.blocks" in each and "to_q" in each]
    for name in matrices:
        assert (ours[name] - theirs[name]).norm() < 0.1 * theirs[name].norm()  # one small step
    start_from(training, plan, begun)  # goes on with what is there
    assert trained(begun).steps == 1
    with pytest.raises(ValueError, match="text_dim"):
        start_from(training, replace(plan, text_dim=48), tmp_path / "other")
    with pytest.raises(UnfinishedTraining, match="flow"):
        start_from(tmp_path, plan, tmp_path / "other")


def test_a_model_is_never_written_over_something(training, model):
    with pytest.raises(ModelError, match="not empty"):
        export(training, model)


def test_an_evaluation_goes_on_and_refuses_what_is_not_its_own(model, tmp_path, monkeypatch):
    monkeypatch.setattr("tools.mini.evaluate.LANES", 2)
    how = How(size=64, chunks=2, steps=(1,), guidance_scale=1.0)
    text = evaluate(model, tmp_path, kind="text", captions=3, seed=0, how=how)
    whole = (tmp_path / "clips.jsonl").read_text()
    first, second, _ = whole.splitlines(keepends=True)
    for killed in (whole, first, first + second + '{"content": ["sq'):
        (tmp_path / "clips.jsonl").write_text(killed)
        assert evaluate(model, tmp_path, kind="text", captions=3, seed=0, how=how) == text
        assert (tmp_path / "clips.jsonl").read_text() == whole
    with pytest.raises(ValueError, match="another evaluation"):
        evaluate(model, tmp_path, kind="text", captions=4, seed=0, how=how)


def test_a_drawn_clip_goes_through_the_vae_chunk_by_chunk(model):
    how = How(size=64, chunks=2, steps=(), guidance_scale=None)
    [one, two] = [film for _, film in drawn(model, held_out_asks(2, 0), how)]
    assert one.shape == two.shape == (66, 64, 64, 3)
    again = replace(held_out_asks(2, 0)[0], prompt="anything")
    [(_, film)] = drawn(model, [again], how)
    assert np.array_equal(film, one)
    assert not np.array_equal(one[:33], one[33:])
    assert not np.array_equal(one, two)


def test_held_out_asks_are_the_same_for_a_seed_and_begin_with_every_content_once():
    asks = held_out_asks(200, 0)
    assert asks == held_out_asks(200, 0) != held_out_asks(200, 1)
    assert len({ask.content for ask in asks[:119]}) == 119


def test_a_first_picture_shows_what_its_caption_says(tmp_path):
    for ask in picture_asks(12, 0, 64, tmp_path / "pictures"):
        shown = read(np.asarray(Image.open(ask.image))[None])
        assert (shown.colour, shown.ground) == ask.content[1:3]
        assert shown.shape in (ask.content[0], UNSEEN)  # some touch the edge


def test_a_switch_leads_from_another_colour_to_what_is_asked_for():
    for ask, plain in zip(switch_asks(12, 0), held_out_asks(12, 0), strict=True):
        assert ask.schedule == (PromptMark(chunk=SWITCH, prompt=plain.prompt),)
        assert ask.content == plain.content
        shape, colour, ground, _ = ask.content
        assert f"{colour} {shape}" not in ask.prompt
        assert shape in ask.prompt
        assert ground in ask.prompt


def test_a_switch_after_the_end_is_refused(model, tmp_path):
    how = How(size=64, chunks=SWITCH, steps=(1,), guidance_scale=1.0)
    with pytest.raises(ValueError, match="changes at chunk 3"):
        evaluate(model, tmp_path / "out", kind="switch", captions=1, seed=0, how=how)
    assert not (tmp_path / "out").exists()


def test_a_switch_is_judged_from_the_chunk_before_it(model, tmp_path):
    how = How(size=64, chunks=SWITCH + 1, steps=(1,), guidance_scale=1.0)
    evaluate(model, tmp_path, kind="switch", captions=1, seed=0, how=how)
    told = json.loads((tmp_path / "evaluation.json").read_text())
    assert [row["chunks"] for row in told["properties"] if row["property"] == "colour"] == [
        "2",
        "3",
    ]
