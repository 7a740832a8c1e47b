"""The operating guide says what is so: its figures, its ports, its commands."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from farm.cli.app import app
from farm.fleet_ray.settings import PORTS, HeadSettings
from farm.plan.money.figure import Statement
from farm.plan.money.scenario import Prices, Scenario
from farm.plan.sizing import Asked, sizing
from farm.plan.tariff import Tariff

GUIDE = Path(__file__).parents[2] / "docs" / "operating"
SIZING = (GUIDE / "sizing.md").read_text(encoding="utf-8")


def told(**asked: object) -> Statement:
    return sizing(Asked(**asked), Prices(Tariff(), Scenario()))  # type: ignore[arg-type]


def value(statement: Statement, table: str, row: str, column: str = "value") -> float:
    found = statement.table(table)
    assert found is not None
    figure = found.cell(row, column)
    assert figure is not None
    return figure.value


def cells(heading: str, first: str) -> list[str]:
    """Of the line that begins so, in the first table below a heading that has one."""
    section = SIZING.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    line = next(line for line in section.splitlines() if line.startswith(f"| {first} |"))
    return [cell.strip(" *") for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("cards", [1, 2, 4])
def test_what_a_machine_needs(cards: int) -> None:
    exact, fast = (told(cards=62, per_machine=cards, way=way) for way in ("exact", "fast"))
    assert cells("The machine", str(cards)) == [
        str(cards),
        f"{value(exact, 'machine', 'ram_needed'):.1f} GB",
        f"{value(exact, 'machine', 'ram'):.0f} GB",
        f"{value(fast, 'machine', 'ram_needed'):.1f} GB",
        f"{value(fast, 'machine', 'ram'):.0f} GB",
        f"{value(exact, 'machine', 'disk_needed'):.0f} GB",
        f"{value(exact, 'machine', 'watts'):.0f} W",
    ]


@pytest.mark.parametrize(("cards", "first"), [(1, "1 in each machine"), (2, "2"), (4, "4")])
def test_what_the_farm_draws(cards: int, first: str) -> None:
    here, there = told(per_machine=cards), told(per_machine=cards, volts=120.0, amperes=15.0)
    assert cells("Power and heat", first)[1:] == [
        f"{value(here, 'farm', 'machines'):.0f}",
        f"{value(here, 'farm', 'power'):.1f} kW",
        f"{value(here, 'farm', 'circuits'):.0f}",
        f"{value(there, 'farm', 'circuits'):.0f}",
        f"{round(value(here, 'farm', 'heat'), -2):,.0f} BTU/h",
        f"${value(here, 'farm', 'electricity'):.0f}",
    ]


def test_the_shopping_list() -> None:
    statement = told()
    section = SIZING.partition("\n## The shopping list")[2]
    lines = [line for line in section.splitlines() if line.startswith("| ")][1:]
    shopping = statement.table("shopping")
    assert shopping is not None
    for row, line in zip(shopping.rows, lines, strict=False):
        said = [cell.strip(" *").replace(",", "") for cell in line.strip("|").split("|")]
        assert said[3] == f"${row.cells['sum'].value:.0f}", row.key
        if row.key != "total":
            number, each = row.cells["number"].value, row.cells["each"].value
            assert said[1:3] == [f"{number:.0f}", f"${each:.0f}"], row.key


@pytest.mark.parametrize("way", ["exact", "fast"])
def test_four_cards_in_a_machine_instead(way: str) -> None:
    statement = told(per_machine=4, way=way)
    total, rate = value(statement, "shopping", "total", "sum"), value(statement, "farm", "rate")
    line = f"| 4 cards in a machine, `{way}` | ${total:,.0f} | {rate:.0f} | "
    assert f"{line}{1000 * rate / total:.2f} |" in SIZING


def test_the_object_store_of_the_text() -> None:
    statement = told()
    assert f"**{value(statement, 'farm', 'kept'):.0f} TB in 30 days**" in SIZING
    assert f"are {value(statement, 'farm', 'takes'):.1f} TB a month" in SIZING
    assert f"make {value(statement, 'farm', 'upload'):.0f} Mbit/s" in SIZING


def test_every_port_of_a_farm_is_listed() -> None:
    text = (GUIDE / "ports.md").read_text(encoding="utf-8").partition("## On a node")[0]
    listed: set[int] = set()
    for first, word, second in re.findall(
        r"^\| (\d{4})(?:( to |, )(\d{4}))? \|", text, re.MULTILINE
    ):
        last = int(second or first)
        listed |= set(range(int(first), last + 1)) if word == " to " else {int(first), last}
    base = HeadSettings(data_dir=Path("/anywhere"))
    assert listed == {base.port_of(name) for name in PORTS}


def test_every_command_of_the_guide_is_there() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in sorted(GUIDE.glob("*.md")))
    quoted = re.findall(r"(?:`|^|&& )farm ([a-z]+)(?: ([a-z]+))?", text, re.MULTILINE)
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert len(quoted) > 10
    for name, verb in quoted:
        assert name in commands, f"farm {name}"
        below = getattr(commands[name], "commands", None)
        if below is not None and verb:
            assert verb in below, f"farm {name} {verb}"
