"""`farm usage`, as people and bookkeepers read it."""

from __future__ import annotations

import csv
import io
import json
from datetime import date
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli.app import app
from farm.client import Farm
from farm.client.errors import BadRequest
from tests.client.conftest import RunningFarm
from tests.fixtures.gateway import TOKEN


@pytest.fixture(autouse=True)
def _endpoint(running: RunningFarm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HELIOSTAT_ENDPOINT", running.endpoint)
    monkeypatch.setenv("HELIOSTAT_API_TOKEN", TOKEN)
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path / "data"))


def farm_(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["usage", *arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done.output


def use(running: RunningFarm, project: str, **more: float) -> str:
    """Have some usage counted today; the day."""
    books = running.rig.link.coordinator.books
    books.usage.add(project, **more)
    books.usage.is_due = True
    with books.transaction():
        pass
    return books.store.usage_since()


@pytest.fixture
def today(running: RunningFarm) -> str:
    use(running, "", idle_card_seconds=7200.0, idle_money=0.25)
    return use(
        running,
        "dune",
        frames_rendered=132,
        frames_delivered=66,
        clips_delivered=1,
        video_seconds=2.75,
        waste_frames=66,
        card_seconds=1800.0,
        waste_card_seconds=900.0,
        joules=3.6e6,
        measured_joules=1.8e6,
        money=1.5,
        waste_money=0.75,
    )


def test_a_farm_that_has_done_nothing_says_so() -> None:
    assert farm_() == "nothing was rendered yet: `farm submit FILE` begins\n"
    assert farm_("--csv").startswith("day,project,clips_delivered,")
    assert len(farm_("--csv").splitlines()) == 1


def test_the_table_has_projects_idle_cards_and_the_whole(today: str) -> None:
    text = farm_()
    lines = {line.split()[1]: line.split() for line in text.splitlines() if today in line[:12]}
    assert lines["dune"][2:8] == ["1", "2.8", "132", "66", "66", "0.5"]
    assert lines["(idle)"][2:9] == ["0", "0.0", "0", "0", "0", "0.00", "2.00"]
    (total,) = (line.split() for line in text.splitlines() if line.strip().startswith("total"))
    assert total[1:5] == ["1", "2.8", "132", "66"]
    assert "50% of it measured" in text
    assert f"days in UTC; counted since {today}" in text


def test_the_bookkeeper_gets_plain_numbers_with_their_units(today: str) -> None:
    idle, dune = csv.DictReader(io.StringIO(farm_("--csv")))
    assert (dune["day"], dune["project"], dune["currency"]) == (today, "dune", "USD")
    assert float(dune["card_hours"]) == 0.5
    assert float(dune["kwh"]) == 1.0
    assert float(dune["measured_kwh"]) == 0.5
    assert float(dune["total_money"]) == 1.5
    assert (idle["project"], float(idle["idle_card_hours"])) == ("(idle)", 2.0)
    assert float(idle["total_money"]) == 0.25


def test_the_order_of_by_is_the_order_of_columns(today: str) -> None:
    rows = list(csv.reader(io.StringIO(farm_("--by", "project,month", "--csv"))))
    assert rows[0][:2] == ["project", "month"]
    assert [row[:2] for row in rows[1:]] == [["(idle)", today[:7]], ["dune", today[:7]]]
    whole = list(csv.DictReader(io.StringIO(farm_("--by", "", "--csv"))))
    assert [float(row["total_money"]) for row in whole] == [1.75]


def test_json_has_rows_and_the_whole(today: str) -> None:
    told = json.loads(farm_("--by", "project", "--project", "dune", "--json"))
    assert [row["project"] for row in told["rows"]] == ["dune"]
    assert told["rows"][0]["usage"] == told["total"]
    assert told["total"]["waste_frames"] == 66
    assert told["since"] == today


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--by", "week"), "week: name day or month, and project"),
        (("--by", "day,month"), "name day or month, not both"),
        (("--from", "yesterday"), "'yesterday' is no day"),
        (("--csv", "--json"), "not both"),
    ],
)
def test_what_cannot_be_told_is_refused_with_what_can(
    arguments: tuple[str, ...], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    assert said in farm_(*arguments, code=2)


def test_a_range_that_ends_before_it_begins_is_refused(farm: Farm) -> None:
    with pytest.raises(BadRequest, match="2026-11-01, is before the first one, 2026-11-02"):
        farm.usage(first=date(2026, 11, 2), last=date(2026, 11, 1))
    with pytest.raises(BadRequest, match="not by both"):
        farm.usage(by=["day", "month"])
    with pytest.raises(BadRequest, match="not kept by hour"):
        farm.usage(by=["hour"])
