"""`farm simulate`: what a fleet would make of a batch, as numbers, JSON and a picture."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from farm.cli.app import app
from farm.plan.card_time import Corrections
from farm.sim.figures import CARDS_TRIED_MAX, fewest_cards
from tests.unit.bench_records import bench_record


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["simulate", *map(str, arguments)])


@pytest.fixture
def batch(tmp_path: Path) -> Path:
    path = tmp_path / "show.csv"
    path.write_text("prompt,frames\n" + "a lighthouse,66\n" * 24)
    return path


def test_it_says_when_a_batch_would_be_done(batch: Path) -> None:
    result = run("--cards", "4xh100", "--batch", batch, "--start", "22:00")
    assert result.exit_code == 0, result.output
    assert "24 done" in result.output
    assert "10 more" in result.output
    assert "h100 19.5 FPS (published)" in result.output


def test_json_repeats_with_the_seed(batch: Path) -> None:
    asked = ("--cards", "3xh100,1xrtx-4060-ti", "--batch", batch, "--start", "01:00", "--json")
    one, two = run(*asked, "--seed", 7), run(*asked, "--seed", 7)
    assert one.exit_code == 0, one.output
    assert one.stdout == two.stdout
    found = json.loads(one.stdout)["figures"]
    assert found["clips"] == {"done": 24}
    assert found["speeds"] == "estimated"
    assert 0 < found["utilisation"] <= 1


def test_measured_speeds_are_said_to_be_measured(batch: Path) -> None:
    result = run("--cards", "2xmine", "--speed", "mine=20", "--batch", batch, "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["figures"]["speeds"] == "measured"


def test_several_batches_come_at_their_times(batch: Path) -> None:
    result = run(
        "--cards", "4xh100", "--start", "22:00", "--json",
        "--batch", f"{batch},project=one", "--batch", f"{batch},project=two,priority=5,at=23:00",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)["figures"]
    assert found["clips"] == {"done": 48}
    assert found["seconds"] > 3600


@pytest.mark.parametrize(("ending", "magic"), [("png", b"\x89PNG"), ("svg", b"<?xml")])
def test_a_picture_is_drawn(batch: Path, tmp_path: Path, ending: str, magic: bytes) -> None:
    path = tmp_path / f"gantt.{ending}"
    result = run(
        "--cards", "4xh100", "--batch", batch, "--failures", "card-death=100/h", "--gantt", path
    )
    assert result.exit_code == 0, result.output
    assert path.read_bytes().startswith(magic)


def test_it_says_how_few_cards_would_do(batch: Path) -> None:
    result = run(
        "--cards", "4xh100", "--batch", batch, "--start", "22:00", "--by", "22:02", "--json"
    )
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert 1 < found["cards"] < 8
    assert found["figures"]["seconds"] <= 120


@pytest.mark.parametrize("enough", [1, 2, 7, 62, 63, 900])
def test_fewest_is_the_first_that_does(enough: int) -> None:
    assert fewest_cards(lambda number: number >= enough, 62) == enough


def test_a_deadline_that_no_fleet_meets_ends_the_search() -> None:
    tried: list[int] = []
    assert fewest_cards(lambda number: bool(tried.append(number)), 62) is None
    assert tried[-1] == CARDS_TRIED_MAX


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--cards", "4xvoodoo2"), "no card type known here"),
        (("--cards", "4xh100", "--failures", "death=1/h"), "no failure known here"),
        (("--cards", "4xh100", "--start", "25:00"), "write a time as 09:00"),
        (("--cards", "4xh100", "--gantt", "x.pdf"), "use .png or .svg"),
        (("--cards", "4xh100", "--speed", "h100=fast"), "write frames per second"),
        (("--cards", "4xh100", "--model", "huge"), "no model that can be simulated"),
    ],
)
def test_what_is_not_understood_is_refused(batch: Path, arguments, said: str) -> None:
    result = run(*arguments, "--batch", batch)
    assert result.exit_code == 2
    assert said in result.output.replace("\n", " ").replace("│ ", "").replace("  ", " ")


def test_a_file_with_problems_is_refused_as_by_submit(tmp_path: Path) -> None:
    path = tmp_path / "bad.csv"
    path.write_text("prompt,frames\na lighthouse,many\n")
    result = run("--cards", "4xh100", "--batch", path)
    assert result.exit_code == 2
    assert f"{path}:2:frames:" in result.output
    assert "nothing was simulated" in result.output


def test_bench_records_set_the_speed_of_their_card(batch: Path, tmp_path: Path) -> None:
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(bench_record("h200", truth=Corrections(compute=2.0))))
    asked = ("--cards", "2xh200", "--batch", batch, "--start", "22:00")
    plain, slower = run(*asked, "--json"), run(*asked, "--bench", file, "--json")
    assert slower.exit_code == 0, slower.output
    found = json.loads(slower.stdout)["figures"]
    assert found["speeds"] == "calibrated"
    assert found["seconds"] > 1.5 * json.loads(plain.stdout)["figures"]["seconds"]
    assert "FPS (calibrated)" in run(*asked, "--bench", file).output
    told = run(*asked, "--bench", file, "--speed", "h200=20", "--json")
    assert json.loads(told.stdout)["figures"]["speeds"] == "measured"


def test_a_record_that_does_not_tell_leaves_speeds_estimated(batch: Path, tmp_path: Path) -> None:
    """An RTX 4060 Ti streams half of its weights; one that had them all says nothing of that."""
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(bench_record("rtx-4060-ti")))
    result = run("--cards", "1xrtx-4060-ti", "--batch", batch, "--bench", file, "--json")
    assert json.loads(result.stdout)["figures"]["speeds"] == "estimated"
