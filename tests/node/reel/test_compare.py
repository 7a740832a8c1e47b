"""`farm-node compare` renders the same seeds with two profiles, and says what the second loses."""

from __future__ import annotations

import json
import math
from pathlib import Path

import jsonschema
import pytest

from node_agent.film import pictures
from node_agent.reel.reel import Reel
from tests.fixtures.fast_child import offer_fast
from tests.node.reel.conftest import SMALL, farm_node

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "compare.schema.json").read_text())
NAME = "prompt-01-seed-7"


def compare(model: Path, out: Path, *options: object, code: int = 0):
    said = farm_node("compare", "--model", model, "--out", out, *SMALL, *options)
    assert said.code == code, said
    return said


def test_what_a_profile_loses_is_told_by_chunk(model, tmp_path, monkeypatch) -> None:
    children = offer_fast(monkeypatch)
    asked = ("--prompt", "a fox", "--seed", 7, "--frames", 66)
    said = compare(model, tmp_path, *asked)
    assert len(children) == 2, "one for each profile"
    assert f"{NAME}: fast beside exact" in said.out
    record = json.loads((tmp_path / "compare.json").read_text())
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(record)
    (clip,) = record["clips"]
    decibels = [20 * math.log10(255), 20 * math.log10(255 / 2)]
    assert [chunk["psnr_db"] for chunk in clip["chunks"]] == pytest.approx(decibels)
    assert clip["psnr_drift_db_per_chunk"] == pytest.approx(-20 * math.log10(2))
    assert record["summary"]["psnr_db_min"] == {"mean": pytest.approx(decibels[1])} | {
        "min": pytest.approx(decibels[1])
    }
    assert "latents_psnr_db" not in clip, "the stand-in changes frames alone"
    assert ",fast," in record["stack_ids"]["fast"]
    assert record["stack_ids"]["exact"] == record["stack_ids"]["fast"].replace(",fast,", ",exact,")
    frames = list(pictures(tmp_path / clip["film"]))
    assert (len(frames), frames[0].shape[1]) == (66, 3 * 64)
    reels = [Reel.open(tmp_path / name / f"{NAME}.reel").record for name in ("exact", "fast")]
    assert [reel.recipe["profile"] for reel in reels] == ["exact", "fast"]
    assert [[c.profile for c in reel.chunks] for reel in reels] == [["exact"] * 2, ["fast"] * 2]

    again = compare(model, tmp_path, *asked, "--json")
    assert len(children) == 2, "nothing is rendered twice"
    assert json.loads(again.out)["clips"] == record["clips"]

    other = compare(model, tmp_path, *asked[:2], "--seed", 7, "--frames", 99, code=2)
    assert "frames 99 (the reel has 66)" in other.err


def test_it_goes_on_where_it_was_stopped(model, tmp_path, monkeypatch) -> None:
    offer_fast(monkeypatch)
    asked = ("--prompt", "a fox", "--seed", 1, "--seed", 2, "--frames", 33)
    add, added = Reel.add, []

    def stopped(self, done, stack) -> None:
        if added:
            raise KeyboardInterrupt
        added.append(done.clip_id)
        add(self, done, stack)

    with monkeypatch.context() as patch:
        patch.setattr(Reel, "add", stopped)
        said = compare(model, tmp_path, *asked, code=130)
    assert "exact: stopped; 1 of 2 chunks are kept. To go on: farm-node compare" in said.err
    segment = tmp_path / "exact" / f"{added[0]}.reel" / "chunk-00000.mkv"
    before = segment.stat().st_mtime_ns
    compare(model, tmp_path, *asked)
    assert segment.stat().st_mtime_ns == before
    assert len(json.loads((tmp_path / "compare.json").read_text())["clips"]) == 2


def test_a_card_that_lacks_a_profile_says_which_it_offers(model, tmp_path) -> None:
    said = compare(model, tmp_path, "--prompt", "a fox", "--profiles", "fast-fp8,exact", code=1)
    assert "the profile fast-fp8" in said.err
    assert "exact" in said.err, "one that it has"
    assert not (tmp_path / "compare.json").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--profiles", "exact,exact", "--prompt", "a"), "name two different ones of exact, fast"),
        (("--profiles", "exact", "--prompt", "a"), "name two different ones of exact, fast"),
        (("--profiles", "exact,quick", "--prompt", "a"), "there is no profile 'quick'"),
        ((), "either --prompt TEXT or --prompts FILE"),
        (("--prompt", " "), "--prompt: it is empty"),
        (("--prompt", "a", "--size", "65x64"), "65x64"),
        (("--prompt", "a", "--steps", "1"), "steps [1]"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_made(model, tmp_path, options, words) -> None:
    said = compare(model, tmp_path / "out", *options, code=2)
    assert words in said.err
    assert not (tmp_path / "out").exists()


def test_a_file_of_prompts_is_taken_line_by_line(tmp_path) -> None:
    from node_agent.compare.clips import asked_clips, read_prompts

    file = tmp_path / "prompts.txt"
    file.write_bytes("\ufeffa fox\n\n  ein Füchslein \na fox\n".encode())
    clips = asked_clips(read_prompts(file), (7, 8))
    assert [(clip.name, clip.prompt) for clip in clips] == [
        ("prompt-01-seed-7", "a fox"),
        ("prompt-01-seed-8", "a fox"),
        ("prompt-02-seed-7", "ein Füchslein"),
        ("prompt-02-seed-8", "ein Füchslein"),
    ]
    file.write_text("\n \n")
    with pytest.raises(ValueError, match="holds no prompt"):
        read_prompts(file)
    file.write_bytes(b"F\xfcchse")
    with pytest.raises(ValueError, match="is not UTF-8"):
        read_prompts(file)
