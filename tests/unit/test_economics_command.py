"""`farm economics` without a farm: a fleet is reckoned with before it is bought."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from farm.cli.app import app
from farm.plan.money.machines import predicted_rate


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path / "none"))


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["economics", *arguments])


def values(*arguments: str) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)["tables"]


def test_the_articles_fleet_before_it_is_bought() -> None:
    told = values("--cards", "62", "--fps", "2.5", "--price", "rtx-4060-ti=400")
    fleet = {key: row["value"] for key, row in told["fleet"].items()}
    assert fleet["rate"]["value"] == 155
    assert fleet["equivalents"]["value"] == pytest.approx(7.94, abs=0.005)
    assert fleet["price_cards"]["value"] == 24_800
    assert fleet["rate"]["basis"] == "assumed"
    assert told["article"]["weekly"]["again"]["value"] == pytest.approx(2594.80)


def test_without_a_rate_the_card_model_predicts_it() -> None:
    predicted = predicted_rate("rtx-4090")
    assert predicted is not None
    rate = values("--offline", "--card-type", "RTX-4090")["fleet"]["rate"]["value"]
    assert (rate["value"], rate["basis"]) == (predicted.value, "estimated")


def test_what_if_options_take_effect() -> None:
    told = values(
        "--offline", "--cards", "1", "--monthly", "200", "--cloud", "4", "--tariff", "0.30",
        "--price", "rtx-4060-ti=400", "--host", "0", "--add", "10", "rtx-4060-ti",
        "--utilisation", "0.5", "--seconds", "60", "--h100-hour", "3",
    )  # fmt: skip
    assert told["payback"]["cards"]["rate"]["value"] == pytest.approx(2.0)
    assert told["more"]["price_cards"]["added"]["value"] == 4_000
    assert told["fleet"]["utilisation"]["value"]["value"] == 0.5
    # 60 s are 44 chunks of 33 frames.
    assert told["comparators"]["h100-rented"]["cost"]["value"] == pytest.approx(
        44 * 33 / 19.53 / 3600 * 3
    )


def test_settings_are_the_prices(tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text(
        "host_price = 500\nelectricity_price = 0.4\n"
        '[comparators.ours]\ntitle = "our cloud"\nsecond_price = 0.1\n'
    )
    told = values("--cards", "2", "--config", str(file))
    assert told["cards"]["rtx-4060-ti"]["node"]["value"] == 950
    assert told["comparators"]["ours"]["cost"]["value"] == pytest.approx(0.5)


def test_a_comparator_that_cannot_be_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "farm.toml"
    file.write_text("[comparators.ours]\nspeed = 3\n")
    result = run("--cards", "2", "--config", str(file))
    assert result.exit_code == 2
    assert "comparators.ours has no 'speed'" in result.output


def test_every_figure_is_a_line_of_csv() -> None:
    result = run("--cards", "3", "--csv")
    lines = list(csv.DictReader(io.StringIO(result.stdout)))
    assert {line["basis"] for line in lines} == {"published", "estimated", "assumed"}
    assert all(line["source"] for line in lines)
    cards = next(line for line in lines if (line["table"], line["row"]) == ("fleet", "cards"))
    assert float(cards["value"]) == 3


def test_a_table_for_people_says_how_each_figure_is_known() -> None:
    result = run("--cards", "62")
    assert result.exit_code == 0
    assert "PAYBACK AGAINST A CLOUD" in result.stdout
    assert "Duration Tax rate = price of a generation in a cloud x" in result.stdout
    assert "m measured, p published, c calibrated, e estimated, a assumed" in result.stdout
    assert "quality is published by each model's own authors" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("--cards", "2", "--utilisation", "60"), "utilisation 60"),
        (("--cards", "2", "--price", "dear"), "is no price of a card"),
        (("--cards", "2", "--fps", "0"), "give more than 0"),
        (("--card-type", "h100"), "add --offline or --cards"),
        (("--cards", "2", "--tariff", "-1"), "electricity price -1"),
    ],
)
def test_what_cannot_be_is_refused(arguments: tuple[str, ...], what: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert what in " ".join(result.output.replace("│", " ").split())


def test_without_a_farm_it_says_what_to_do() -> None:
    result = run()
    assert result.exit_code == 3
