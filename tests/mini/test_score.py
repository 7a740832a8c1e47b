"""Shares and their confidence."""

from __future__ import annotations

import math

import pytest

from tools.mini.judge import Shown
from tools.mini.score import Told, means, record, rows, table, wilson


def clip(content, *motions, jump=1.0):
    shape, colour, ground, _ = content
    chunks = [Shown(ground, colour, shape, motion, (0, 0, 0), None) for motion in motions]
    return Told(content, chunks, jump, 0.0, float("nan"))


LEFT = ("disc", "red", "blue", "left")
ROUND = ("square", "green", "white", "circling")


@pytest.mark.parametrize(
    ("share", "count", "low", "high"),
    [(0.5, 10, 0.2366, 0.7634), (0.0, 20, 0.0, 0.1611), (1.0, 200, 0.9812, 1.0)],
)
def test_wilsons_interval(share, count, low, high):
    """Values of statsmodels' proportion_confint(method="wilson")."""
    assert wilson(share, count) == pytest.approx((low, high), abs=1e-4)


def test_a_clip_counts_where_all_chunks_of_a_window_are_as_asked():
    clips = [clip(LEFT, "left", "left"), clip(LEFT, "left", "right"), clip(ROUND, "circling", "up")]
    by = {(row.property, row.chunks): row for row in rows(clips, [(0, 1), (0, 2)])}
    assert (by["direction", "1"].share, by["direction", "1"].clips) == (1, 2)
    assert by["direction", "1 to 2"].share == 0.5
    assert by["motion", "1 to 2"].share == pytest.approx(1 / 3)


def test_windows_that_clips_do_not_reach_are_left_out():
    assert rows([clip(LEFT, "left")], [(0, 2)]) == []


def test_means_leave_out_what_is_not_known():
    jump, ground = means([clip(LEFT, "left", jump=math.nan), clip(LEFT, "left", jump=3.0)])
    assert (jump.clips, jump.mean, ground.clips) == (1, 3.0, 2)


def test_the_table_has_a_line_for_each_and_the_record_the_same():
    clips = [clip(LEFT, "left"), clip(ROUND, "circling")]
    found, numbers = rows(clips, [(0, 1)]), means(clips)
    text = table(found, numbers)
    assert "| direction | 1 | 1 | **100.0%** |" in text
    assert len(record(found, numbers)["properties"]) == text.count("**") // 2 - len(numbers) == 5


@pytest.mark.parametrize(
    ("seen", "right"),
    [
        (("disc", "nothing"), True),
        (("disc", "disc"), True),
        (("disc", "square"), False),
        (("nothing", "nothing"), False),
    ],
)
def test_a_shape_that_is_never_whole_in_a_chunk_is_told_by_the_others(seen, right):
    chunks = [Shown("blue", "red", shape, "left", (0, 0, 0), None) for shape in seen]
    clips = [Told(LEFT, chunks, 1.0, 0.0, 0.0)] * 2
    [shape] = [row for row in rows(clips, [(0, 2)]) if row.property == "shape"]
    assert shape.share == float(right)
