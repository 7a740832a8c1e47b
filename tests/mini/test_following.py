"""helios-mini shows what it is asked for, however its clip comes about: the judge says so.

Elsewhere tests hold that bits are equal; these would see it if they were equally wrong.
"""

from __future__ import annotations

import math
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from node_agent.film import pictures
from node_agent.models.mini import MINI, MINI_DISTILLED
from node_agent.quality.likeness import psnr_db, squares
from node_agent.render.helios.quantize import NUMBERS, matrices
from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.helios.rounding import quantised
from node_agent.render.profiles import PROFILES
from node_agent.render.renderer import Checkpoint, PromptMark, needed_negatives
from tests.mini.asks import ASKS, BLUE, HOW, asked, colours, demo_asks
from tests.node.helios.waiting import whole_chunks
from tests.node.reel.conftest import farm_node
from tools.mini.captions import is_held_out
from tools.mini.judge import read, read_chunks
from tools.mini.renders import Ask, How, rendered, spec
from tools.mini.world import draw, scene

PSNR_MIN = 25
"""Decibels by which a lossy profile's frames are near the whole ones, in chunks 1 and 2."""


def name_of(profile):
    return profile.name


@pytest.fixture(scope="module")
def renderer():
    return HeliosRenderer(MINI, threads=1)


@pytest.fixture(scope="module")
def together(renderer):
    """The chunks of every clip, rendered in lockstep, round by round."""
    clips = [renderer.start(spec(ask, HOW)) for ask in ASKS]
    return [whole_chunks(renderer.step(clips, lambda _clip: False)) for _ in range(HOW.chunks)]


def test_the_captions_of_these_tests_were_never_seen_in_training():
    assert all(is_held_out(ask.content) for ask in ASKS)


def test_the_demo_shows_what_it_asks_for(renderer):
    asks = demo_asks()
    assert len(asks) == 12
    for ask, film in rendered(renderer, asks, HOW):
        assert [(shown.colour, shown.ground) for shown in read_chunks(film)] == [asked(ask)] * 2


def test_the_demos_prompts_are_those_of_the_examples():
    demo = (files("farm.cli.demo") / "mini.csv").read_bytes()
    assert demo == (Path(__file__).parents[2] / "examples" / "mini.csv").read_bytes()


def test_every_lane_follows_its_own_prompt(together):
    for chunks in together:
        assert [colours(made.frames) for made in chunks] == [asked(ask) for ask in ASKS]
    first = [read(made.frames) for made in together[0]]
    assert [shown.shape for shown in first] == [ask.content[0] for ask in ASKS]
    assert [shown.motion for shown in first] == [ask.content[3] for ask in ASKS]


def test_with_the_prompts_of_others_it_is_not_what_was_asked_for(together):
    for ask, made in zip(ASKS[1:] + ASKS[:1], together[0], strict=True):
        assert colours(made.frames) != asked(ask)


def test_a_clip_alone_shows_what_it_shows_in_company(renderer, together):
    [(_, film)] = rendered(renderer, ASKS[:1], HOW)
    for chunk, alone in zip(together, read_chunks(film), strict=True):
        company = read(chunk[0].frames)
        assert (company.colour, company.ground) == (alone.colour, alone.ground)
        assert (company.shape, company.motion) == (alone.shape, alone.motion)


def test_a_resumed_clip_goes_on_with_what_it_showed(renderer, together):
    ask = ASKS[3]
    for chunk in (1, 2):
        negatives = {at: together[at][3].negative for at in needed_negatives(chunk)}
        clip = renderer.start(
            spec(ask, How(size=64, chunks=3, steps=(20,), guidance_scale=3.0)),
            Checkpoint(chunk, negatives),
        )
        assert colours(clip.step(lambda: False).frames) == asked(ask)


def test_a_clip_from_a_picture_keeps_its_colour_and_its_ground(renderer, tmp_path):
    ask = ASKS[2]
    firsts = [draw(scene(np.random.default_rng(seed), ask.content), [0], 64)[0] for seed in (1, 2)]
    asks = []
    for number, first in enumerate(firsts):
        path = tmp_path / f"{number}.png"
        Image.fromarray(first).save(path)
        asks.append(Ask(ask.prompt, ask.content, ask.seed, image=str(path)))
    films = [film for _, film in rendered(renderer, asks, HOW)]
    for film, own, other in zip(films, firsts, reversed(firsts), strict=True):
        assert [(shown.colour, shown.ground) for shown in read_chunks(film)] == [asked(ask)] * 2
        near, far = (psnr_db(squares(film[0], first) / first.size) for first in (own, other))
        assert near > far + 3, "it does not begin where its picture is"


def test_a_switched_prompt_changes_the_colour_within_three_chunks(renderer):
    ask = Ask(ASKS[0].prompt, ASKS[0].content, 1, schedule=(PromptMark(chunk=1, prompt=BLUE),))
    how = How(size=64, chunks=4, steps=(20,), guidance_scale=3.0)
    [(_, film)] = rendered(renderer, [ask], how)
    shown = [(each.colour, each.ground) for each in read_chunks(film)]
    assert shown[0] == ("red", "white")
    assert shown[-1] == ("blue", "white")


def render(path, *more):
    """A film of two chunks with its reel, made by the command."""
    command = ("render", ASKS[0].prompt, "--model", MINI, "--frames", 66, "--size", "64x64")
    how = ("--steps", 20, "--guidance-scale", 3, "--seed", 1, "--threads", 1, "--device", "cpu")
    said = farm_node(*command, *how, *more, "--out", path)
    assert said.code == 0, said
    return path


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    return render(tmp_path_factory.mktemp("films") / "red.mp4")


def shown_in(film):
    chunks = read_chunks(np.stack(list(pictures(film))))
    return [(shown.colour, shown.ground) for shown in chunks]


def test_a_clip_goes_on_from_a_video(film, tmp_path):
    after = render(tmp_path / "after.mp4", "--video", film)
    assert shown_in(after) == [("red", "white")] * 2


def test_an_extended_film_goes_on_with_its_prompt_or_with_another(film, tmp_path):
    for prompt, last in ((None, ("red", "white")), (BLUE, ("blue", "white"))):
        longer = tmp_path / "longer.mp4"
        words = () if prompt is None else ("--prompt", prompt, "--blend-chunks", 1)
        said = farm_node("extend", film, "--frames", 165, *words, "--fresh", "--out", longer)
        assert said.code == 0, said
        shown = shown_in(longer)
        assert shown[:2] == [("red", "white")] * 2
        assert shown[-1] == last
        assert len(shown) == 5


def test_a_branch_takes_its_own_prompt_and_leaves_the_film_as_it_was(film, tmp_path):
    branch = tmp_path / "branch.mp4"
    words = ("--prompt", BLUE, "--blend-chunks", 1)
    said = farm_node("branch", film, "--from-chunk", 1, *words, "--out", branch)
    assert said.code == 0, said
    assert shown_in(film) == [("red", "white")] * 2
    first, second = shown_in(branch)
    assert first == ("red", "white")
    assert second[1] == "white"


def test_the_distilled_one_shows_what_was_asked_for_in_few_steps():
    few = How(size=128, chunks=1, steps=(2, 2, 2), guidance_scale=None)
    renderer = HeliosRenderer(MINI_DISTILLED, threads=1)
    assert renderer.info.variant == "distilled"
    for ask, film in rendered(renderer, ASKS, few):
        assert colours(film) == asked(ask)


def in_eight_bits(transformer, profile):
    """A whole transformer that computes with a profile's numbers; sums are float32.

    So a CPU, which has no products in FP8, rehearses what they lose.
    """
    numbers = NUMBERS[profile.arithmetic]

    def near(rows):
        found, scale = quantised(rows.float().flatten(0, -2), numbers)
        return (found.float() * scale).view(rows.shape)

    for name in matrices(dict(transformer.named_parameters()), len(transformer.blocks), profile):
        linear = transformer.get_submodule(name.removesuffix(".weight"))
        linear.weight.data = near(linear.weight.data)
        linear.register_forward_pre_hook(lambda _linear, given: (near(given[0]),))


@pytest.mark.parametrize("profile", [each for each in PROFILES.values() if each.lossy], ids=name_of)
def test_a_lossy_profile_shows_what_was_asked_for(together, profile):
    if profile.arithmetic == "float8":
        lossy = HeliosRenderer(MINI, threads=1)
        in_eight_bits(lossy._model.transformer, profile)
    else:
        lossy = HeliosRenderer(MINI, threads=1, profile=profile.name)
    decibels = []
    for lane, (ask, film) in enumerate(rendered(lossy, ASKS, HOW)):
        for chunk, frames in enumerate(np.split(film, HOW.chunks)):
            assert colours(frames) == asked(ask)
            whole = together[chunk][lane].frames
            decibels.append(psnr_db(squares(frames, whole) / frames.size) or math.inf)
    assert PSNR_MIN < min(decibels) < math.inf, decibels
