"""The number of lanes that is worth it is found, kept on the node, and taken by its agents."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import jsonschema
import pytest
import torch
from typer.testing import CliRunner

from node_agent.cli import app
from node_agent.cluster.settings import NodeSettings
from node_agent.lane_widths import WIDTHS_NAME, Width, keep, lanes_for, read
from node_agent.render.bench import chunks
from node_agent.render.helios.tiny import build_tiny

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "bench.schema.json").read_text())


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    directory = tmp_path_factory.mktemp("models") / "model"
    return directory, build_tiny(directory).digest


def a_width(digest: str, **different: Any) -> Width:
    fields = {"card_type": "cpu", "model_digest": digest, "profile": "exact", "size": "640x384"}
    rest = {"lanes": 4, "why": "8 add 1.0%, less than 3%", "measured_at": "2026-11-30T00:00:00"}
    return Width(**(fields | rest | different))


def settings(folder: Path, model: Path | None, **different: Any) -> NodeSettings:
    fields = {"directory": folder, "spool": folder, "stamps": folder / "verified.json"}
    return NodeSettings(**(fields | {"cpu_cards": 1, "model": model} | different))


@pytest.mark.parametrize(
    ("paces", "lanes", "tried", "why"),
    [
        ({1: 10, 2: 18, 4: 30, 8: 31}, 8, 4, "no more were tried"),
        ({1: 10, 2: 18, 4: 18.5, 8: 90}, 2, 3, "4 add 2.8%, less than 3%"),
        ({1: 10, 2: 9}, 1, 2, "2 add -10.0%, less than 3%"),
        ({1: 10, 2: 18, 4: None}, 2, 2, "4 have no room in memory"),
    ],
)
def test_lanes_grow_while_they_add_something_and_fit(
    monkeypatch: pytest.MonkeyPatch, paces: dict[int, float], lanes: int, tried: int, why: str
) -> None:
    def measure(_model, _prompts, _options, _steps, lanes, _meter):
        if paces[lanes] is None:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"lanes": lanes, "frames_per_second": paces[lanes]}, f"chunk of {lanes}"

    monkeypatch.setattr(chunks, "measure", measure)
    monkeypatch.setattr(chunks, "PromptEncoder", lambda _model: None)
    options = SimpleNamespace(steps=((1, 1, 1),), lanes=tuple(paces))
    records, chunk, found = chunks.tuned(None, options, None)
    assert [record["lanes"] for record in records] == list(paces)[:tried]
    assert chunk == f"chunk of {lanes}"
    assert found == {"lanes": lanes, "why": why}


def test_a_model_that_fits_in_no_lane_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_arguments: object) -> None:
        raise MemoryError

    monkeypatch.setattr(chunks, "measure", measure)
    monkeypatch.setattr(chunks, "PromptEncoder", lambda _model: None)
    with pytest.raises(MemoryError):
        chunks.tuned(None, SimpleNamespace(steps=((1,),), lanes=(1, 2)), None)


def test_the_command_keeps_what_it_found_and_agents_take_it(
    model: tuple[Path, str], tmp_path: Path
) -> None:
    directory, digest = model
    out = tmp_path / "record.json"
    words = ["bench", "--tune", "--model", str(directory), "--size", "64x64", "--steps", "1,1,1"]
    more = ["--lanes", "1,2", "--chunks", "2", "--models-dir", str(tmp_path), "--out", str(out)]
    done = CliRunner().invoke(app, [*words, *more], catch_exceptions=False)
    assert done.exit_code == 0
    record = json.loads(out.read_text())
    jsonschema.Draft202012Validator(SCHEMA).validate(record)
    [width] = read(tmp_path / WIDTHS_NAME)
    assert width.key == ("cpu", digest, "exact", "64x64")
    assert (width.lanes, width.why) == (record["tuned"]["lanes"], record["tuned"]["why"])
    assert f"lanes: {width.lanes}; " in done.output
    assert settings(tmp_path, directory).child(0).lanes == width.lanes


def test_random_weights_are_nothing_to_tune_for() -> None:
    done = CliRunner().invoke(app, ["bench", "--tune", "--random-weights"])
    assert done.exit_code == 2
    assert "--model DIR" in done.output


def test_who_says_a_number_gets_it(model: tuple[Path, str], tmp_path: Path) -> None:
    directory, digest = model
    keep(tmp_path / WIDTHS_NAME, a_width(digest))
    assert settings(tmp_path, directory).child(0).lanes == 4
    assert settings(tmp_path, directory, lanes=2).child(0).lanes == 2


def test_agents_take_the_least_of_their_card_and_model(
    model: tuple[Path, str], tmp_path: Path
) -> None:
    (directory, digest), path = model, tmp_path / WIDTHS_NAME
    assert lanes_for(path, "cpu", directory) == 1, "nothing was measured"
    for other in (a_width("0" * 64, lanes=1), a_width(digest, card_type="h200", lanes=1)):
        keep(path, other)
    assert lanes_for(path, "cpu", directory) == 1, "of another model, or another card"
    keep(path, a_width(digest, lanes=8))
    keep(path, a_width(digest, size="1280x704", lanes=2))
    assert lanes_for(path, "cpu", directory) == 2
    keep(path, a_width(digest, size="1280x704", lanes=4))
    assert lanes_for(path, "cpu", directory) == 4, "a later measurement takes its place"
    assert lanes_for(path, "cuda:0", directory) == 1, "there is no such card"
    assert lanes_for(path, "cpu", tmp_path / "nowhere") == 1
    assert lanes_for(path, "cpu", None) == 1, "the test card has no model"


@pytest.mark.parametrize("content", ["no JSON", '[{"lanes": 4}]', "7"])
def test_a_file_that_is_none_is_not_used(
    model: tuple[Path, str], tmp_path: Path, caplog: pytest.LogCaptureFixture, content: str
) -> None:
    path = tmp_path / WIDTHS_NAME
    path.write_text(content)
    assert lanes_for(path, "cpu", model[0]) == 1
    assert "--tune" in caplog.text
    keep(path, a_width(model[1]))
    assert read(path) == [a_width(model[1])]
