"""`farm speed`: predictions by card and way of running, beside what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from farm.cli.app import app
from farm.cli.speed import _matching
from farm.domain.clip import Work
from farm.plan.card_table import CARDS
from farm.plan.card_time import (
    WAYS,
    Corrections,
    Profile,
    Run,
    block_bytes,
    offloaded,
    predict,
)
from tests.unit.bench_records import DISTILLED, bench_record

ONE = Work(384, 640, (1, 1, 1))
FAST = Run(profile=Profile.FAST, streamed_bytes=block_bytes(DISTILLED, Profile.FAST))
TRUTH = Corrections(compute=1.2, low_bit=0.9, link=1.6, vae_float32=1.4, vae_bfloat16=0.8)
Write = Callable[..., str]


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["speed", *arguments])


def values(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(name: str, record: Any) -> str:
        path = tmp_path / name
        path.write_text(record if isinstance(record, str) else json.dumps(record))
        return str(path)

    return written


def test_all_cards_and_all_ways_of_running_stand_in_one_table() -> None:
    result = run()
    assert result.exit_code == 0
    assert "predicted, none was measured" in result.stdout
    for name in CARDS:
        assert name in result.stdout
    rtx_3060 = next(line for line in result.stdout.splitlines() if "rtx-3060" in line)
    assert "-" in rtx_3060.split(), "it has no FP8"


def test_a_table_fits_80_columns(monkeypatch: pytest.MonkeyPatch, write: Write) -> None:
    from farm.cli import output

    monkeypatch.setattr(output, "console", _console_of_80)
    named = run("h200", "--bench", write("a", bench_record("h200", FAST, TRUTH, lanes=(1, 2))))
    assert "and are waited for" in named.stdout
    for result in (run(), named):
        assert result.exit_code == 0, result.output
        tables = [line for line in result.stdout.splitlines() if line.startswith(" ")]
        assert max(map(len, tables)) <= 80
        assert "…" not in result.stdout
        assert "predicted" in result.stdout


def test_a_named_card_shows_its_parts_and_its_limits() -> None:
    result = run("RTX-4060-Ti")
    assert result.exit_code == 0
    for word in ("matrix", "waits", *WAYS, "limit, bf16", "2.65", "limit, int8", "10.6"):
        assert word in result.stdout


def test_json_has_what_the_model_predicts() -> None:
    found = values("rtx-4060-ti-8gb", "--steps", "2,2,2", "--size", "1280x768", "--lanes", "2")
    [card] = found["cards"]
    work = Work(768, 1280, (2, 2, 2))
    for said in card["speeds"]:
        plain = WAYS[said["way"]]
        way = offloaded(CARDS["rtx-4060-ti-8gb"], Run(profile=plain.profile), DISTILLED)
        assert said["bytes_streamed_per_pass"] == way.streamed_bytes
        assert sum(said["seconds"].values()) == pytest.approx(said["seconds_per_chunk"])
        assert said["figure"] == "predicted"
    exact = next(said for said in card["speeds"] if said["way"] == "exact")
    run = offloaded(CARDS["rtx-4060-ti-8gb"], Run(lanes=2), DISTILLED)
    seconds = predict(CARDS["rtx-4060-ti-8gb"], run, DISTILLED, work).seconds
    assert exact["seconds_per_chunk"] == pytest.approx(seconds)
    assert "measured" not in card
    assert len(values()["cards"]) == len(CARDS)


def test_two_records_calibrate_a_card(write: Write) -> None:
    files = (
        write("resident", bench_record(truth=TRUTH)),
        write("streamed", bench_record(run=FAST, truth=TRUTH)),
    )
    [card] = values("--bench", files[0], "--bench", files[1])["cards"]
    assert card["card_type"] == "rtx-4060-ti"
    assert card["corrections"]["compute"] == pytest.approx(1.2, rel=0.03)
    assert card["unknown"] == []
    for said in card["speeds"]:
        plain = WAYS[said["way"]]
        way = offloaded(CARDS["rtx-4060-ti"], plain, DISTILLED)
        true = predict(CARDS["rtx-4060-ti"], way, DISTILLED, ONE, TRUTH).seconds
        shown = said["way"] in ("exact, float32 VAE", "exact", "fast")
        assert said["figure"] == ("calibrated" if shown else "predicted")
        if shown:
            assert said["seconds_per_chunk"] == pytest.approx(true, rel=0.03)
    for said in card["measured"]:
        measured = said["seconds_per_chunk_measured"]
        assert said["seconds_per_chunk_calibrated"] == pytest.approx(measured, rel=0.03)
        assert said["seconds_per_chunk_predicted"] < measured


def test_what_records_do_not_tell_stays_predicted(write: Write) -> None:
    result = run("--bench", write("one", bench_record(truth=TRUTH)))
    assert result.exit_code == 0, result.output
    assert "not told: 8-bit arithmetic: measure the profile fast" in result.stdout
    assert "not told: the link" in result.stdout
    assert "computing 1.20" in result.stdout
    [card] = values("--bench", write("one", bench_record("h200", truth=TRUTH)))["cards"]
    figures = {said["way"]: said["figure"] for said in card["speeds"]}
    assert figures["exact"] == "calibrated"
    assert figures["fast"] == "predicted"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("rtx-4060ti",), "did you mean rtx-4060-ti?"),
        (("h100", "--steps", "1,1"), "has 3 stages"),
        (("h100", "--size", "650x384"), "not a multiple of 64"),
        (("h100", "--lanes", "0"), "--lanes"),
    ],
)
def test_what_is_not_understood_is_refused(arguments: tuple[str, ...], said: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.output.replace("│", " ").split())


def test_a_file_that_is_no_record_is_refused(write: Write, tmp_path: Path) -> None:
    file = write("broken", "{")
    result = run("--bench", file)
    assert result.exit_code == 2
    assert f"farm: {file}: this is no JSON" in result.stderr
    absent = run("--bench", str(tmp_path / "absent"))
    assert absent.exit_code == 1
    assert "No such file" in absent.stderr


def test_the_shell_completes_types_of_cards() -> None:
    assert _matching("RTX-4060") == ["rtx-4060-ti", "rtx-4060-ti-8gb"]


def _console_of_80(*, err: bool = False) -> Any:
    import sys

    from rich.console import Console

    return Console(file=sys.stderr if err else sys.stdout, width=80, highlight=False)
