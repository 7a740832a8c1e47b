"""The judge reads what a scene is, also through H.264 and noise, and knows a bad seam."""

from __future__ import annotations

import io
from dataclasses import replace

import av
import numpy as np
import pytest

from node_agent.encode import encode_segment
from tools.mini.captions import contents
from tools.mini.evaluate import judged
from tools.mini.judge import UNSEEN, read
from tools.mini.renders import Ask
from tools.mini.score import rows
from tools.mini.seams import drift, seam_jump
from tools.mini.world import COLOURS, MOTIONS, SHAPES, draw, place, scene

SIZE = 64
FIRST = range(33)


def through_h264(pictures):
    segment = encode_segment(pictures, start_frame=0, fps=24)
    with av.open(io.BytesIO(segment.init + segment.media)) as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])


def noisy(pictures):
    noise = np.random.default_rng(0).normal(0, 6, pictures.shape)
    return np.clip(pictures + noise, 0, 255).round().astype(np.uint8)


def scenes(count):
    """Every motion as often, every shape and colour."""
    for number in range(count):
        rng = np.random.default_rng(number)
        colour, ground = rng.choice(list(COLOURS), 2, replace=False)
        motion, shape = MOTIONS[number % 7], SHAPES[number // 7 % 3]
        yield scene(rng, (shape, str(colour), str(ground), motion))


@pytest.mark.parametrize(
    "seen", [lambda it: it, through_h264, noisy], ids=["drawn", "h264", "noise"]
)
def test_all_of_the_generators_first_chunks_are_read_right(seen):
    for shown in scenes(42):
        found = read(seen(draw(shown, FIRST, SIZE)))
        assert (found.shape, found.colour, found.ground, found.motion) == shown.content


def test_later_chunks_are_read_right_and_shapes_wherever_they_are_seen_whole():
    for number, shown in enumerate(scenes(42)):
        frames = range(33 * (number % 9), 33 * (number % 9) + 33)
        found = read(draw(shown, frames, SIZE))
        assert (found.colour, found.ground, found.motion) == shown.content[1:]
        reach = 1.6 * shown.radius
        whole = [
            reach < min(at.x, at.y) and max(at.x, at.y) < 1 - reach
            for at in (place(shown, frame) for frame in frames)
        ]
        assert found.shape == shown.shape or not any(whole)


def test_what_does_not_move_or_is_not_there_is_nothing():
    shown = scene(np.random.default_rng(0), ("disc", "red", "white", "left"))
    still = draw(shown, [5] * 33, SIZE)
    assert (read(still).motion, read(still).shape) == (UNSEEN, "disc")
    empty = read(np.full((33, SIZE, SIZE, 3), 240, np.uint8))
    assert (empty.ground, empty.colour, empty.shape) == ("white", UNSEEN, UNSEEN)


def test_shuffled_captions_are_right_by_chance_alone():
    rng = np.random.default_rng(1)
    chosen = [contents(held_out=True)[number] for number in rng.permutation(119)[:60]]
    clips = [
        judged(Ask("", content, 0), draw(scene(rng, content), FIRST, SIZE)) for content in chosen
    ]
    found = {row.property: row for row in rows(clips, [(0, 1)])}
    assert {row.share for row in found.values()} == {1.0}
    even = {"ground": 1 / 6, "colour": 1 / 6, "shape": 1 / 3, "direction": 1 / 4, "motion": 1 / 7}
    for name, chance in even.items():
        assert found[name].chance_low < chance < found[name].chance_high
        assert found[name].chance_high < found[name].low


def test_a_seam_jumps_where_chunks_do_not_fit():
    shown = scene(np.random.default_rng(0), ("disc", "red", "white", "circling"))
    smooth = draw(shown, range(99), SIZE)
    assert seam_jump(smooth) == pytest.approx(1, abs=0.15)
    assert seam_jump(np.concatenate([smooth[:33], smooth[50:]])) > 3
    assert np.isnan(seam_jump(smooth[:33]))


def test_drift_is_how_far_colours_have_gone():
    shown = scene(np.random.default_rng(0), ("disc", "red", "white", "circling"))
    first = read(draw(shown, FIRST, SIZE))
    assert drift(first, first) == (0, 0)
    later = read(draw(replace(shown, colour="blue"), FIRST, SIZE))
    ground, colour = drift(first, later)
    apart = np.subtract(COLOURS["red"], COLOURS["blue"])
    assert (ground, colour) == pytest.approx((0, np.linalg.norm(apart)), abs=12)
