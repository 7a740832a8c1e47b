"""Shares and their confidence."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from node_agent.models import load_manifest
from node_agent.models.mini import MINI, MINI_DISTILLED
from tools.mini.evaluate import KINDS
from tools.mini.judge import Shown
from tools.mini.score import Mean, Row, Told, means, record, rows, table, wilson

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "bench" / "results" / "mini"


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


EVALUATED = {**dict.fromkeys(KINDS, MINI), "distilled": MINI_DISTILLED}
"""Results, and the models that ship."""


def results(name):
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize(("name", "model"), EVALUATED.items())
def test_the_figures_in_the_document_are_those_of_the_model_that_ships(name, model):
    told = results(name)
    assert told["asked"]["model"] == load_manifest(model).digest, "evaluate it again"
    properties = [Row(**each) for each in told["properties"]]
    numbers = [Mean(**each) for each in told["numbers"]]
    assert table(properties, numbers) in (ROOT / "docs" / "mini.md").read_text(encoding="utf-8")


def test_the_models_that_ship_are_small():
    assert sum(load_manifest(model).size for model in (MINI, MINI_DISTILLED)) < 20_000_000


def test_the_model_that_ships_shows_ground_and_colour_that_were_asked_for():
    told = results("text")
    assert told["asked"]["captions"] >= 200
    shares = {(each["property"], each["chunks"]): each["share"] for each in told["properties"]}
    for name in ("ground", "colour"):
        assert shares[name, "1 to 2"] >= 0.95
        assert shares[name, "10"] >= 0.9
