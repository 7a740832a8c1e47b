"""`farm sizing` as a user types it."""

from __future__ import annotations

import csv
import io
import json

import pytest
from typer.testing import CliRunner

from farm.cli.app import app


def run(*words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["sizing", *words])
    return done.exit_code, done.output


def test_it_prints_a_machine_a_farm_and_a_shopping_list() -> None:
    code, said = run("--cards", "4", "--per-machine", "2")
    assert code == 0
    for title in ("ONE MACHINE", "THE FARM", "SHOPPING LIST", "all of it"):
        assert title in said


def test_programs_get_the_same_figures_by_json_and_csv() -> None:
    tables = json.loads(run("--json")[1])["tables"]
    rows = list(csv.DictReader(io.StringIO(run("--csv")[1])))
    assert rows
    for row in rows:
        figure = tables[row["table"]][row["row"]][row["column"]]
        assert figure["value"] == float(row["value"])
        assert figure["source"] == row["source"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--card-type", "rtx-4060ti"), "did you mean rtx-4060-ti?"),
        (("--way", "fsat"), "did you mean fast?"),
        (("--way", "fast-fp8+sage", "--card-type", "rtx-3090"), "has no FP8: use fast"),
        (("--price", "machin=200"), "did you mean machine?"),
        (("--price", "machine"), "write TYPE=PRICE"),
        (("--circuit", "230"), "write 230x16 or 120x15"),
        (("--circuit", "0x16"), "write 230x16 or 120x15"),
        (("--cards", "0"), "--cards"),
    ],
)
def test_what_cannot_be_says_what_can(words: tuple[str, ...], told: str) -> None:
    code, said = run(*words)
    assert code == 2
    assert told in " ".join(said.replace("│", " ").split())
