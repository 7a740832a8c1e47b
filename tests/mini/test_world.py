"""Scenes are the same for the same seed, show what they say, and are where they say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tools.mini.captions import caption, contents, corpus, is_held_out, training_scene
from tools.mini.judge import nearest
from tools.mini.world import COLOURS, MOTIONS, SHAPES, draw, place, recoloured, scene


def one_of(motion, shape="disc", seed=0):
    return scene(np.random.default_rng(seed), (shape, "red", "white", motion))


def test_a_seed_draws_the_same_scenes_and_another_seed_others():
    def drawn(seed):
        rng = np.random.default_rng(seed)
        return [scene(rng) for _ in range(5)]

    assert drawn(3) == drawn(3)
    assert drawn(3) != drawn(4)


@pytest.mark.parametrize("motion", MOTIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_are_where_the_truth_says(motion, shape):
    shown = one_of(motion, shape)
    for frame, picture in enumerate(draw(shown, range(12), 96)):
        cover = nearest(picture[None])[0] == list(COLOURS).index("red")
        rows, columns = np.nonzero(cover)
        at = place(shown, frame)
        assert (columns.mean() + 0.5) / 96 == pytest.approx(at.x, abs=0.02)
        assert cover.mean() == pytest.approx(np.pi * at.radius**2, rel=0.15)
        if shape != "triangle":  # whose centre of gravity is meant too, and whose bounding box not
            assert (rows.min() + rows.max() + 1) / 192 == pytest.approx(at.y, abs=0.02)
        assert (rows.mean() + 0.5) / 96 == pytest.approx(at.y, abs=0.02)


@pytest.mark.parametrize("motion", ["left", "right", "up", "down"])
def test_who_passes_is_never_seen_on_both_sides(motion):
    shown = one_of(motion, "square")
    for picture in draw(shown, range(120), 64):
        cover = nearest(picture[None])[0] == list(COLOURS).index("red")
        edges = (cover[0], cover[-1]) if motion in ("up", "down") else (cover[:, 0], cover[:, -1])
        assert not all(edge.any() for edge in edges)


def test_a_recoloured_scene_differs_in_nothing_else():
    shown = one_of("left")
    other = recoloured(shown, np.random.default_rng(1))
    assert other.colour not in (shown.colour, shown.ground)
    assert replace(other, colour=shown.colour) == shown


def test_held_out_contents_are_never_trained_on_and_all_words_are():
    out, seen = contents(held_out=True), contents(held_out=False)
    assert len(out) + len(seen) == len(SHAPES) * 6 * 5 * len(MOTIONS)
    assert 0.15 < len(out) / (len(out) + len(seen)) < 0.25
    assert not set(out) & set(seen)
    for place_of in range(4):
        assert {each[place_of] for each in out} == {each[place_of] for each in seen}
    rng = np.random.default_rng(0)
    assert not any(is_held_out(training_scene(rng).content) for _ in range(200))


def test_captions_say_all_four_things():
    rng = np.random.default_rng(0)
    said = {caption(("disc", "red", "blue", "circling"), rng) for _ in range(60)}
    assert len(said) == 6
    assert said < set(corpus())
    assert all("red disc" in each and "blue" in each and "circle" in each for each in said)
