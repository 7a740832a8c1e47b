"""`farm init` and `farm validate`, without a farm; and the terms that batches are bound to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli.app import app
from farm.coordinator.asked import amended
from farm.domain.batch import Batch, Budget
from farm.domain.errors import BadDecision
from farm.domain.terms import web_address
from farm.domain.values import BadValue
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("HELIOSTAT_ENDPOINT", raising=False)
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def farm(*arguments: str):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_init_writes_an_example_that_validates_and_overwrites_nothing(home: Path) -> None:
    assert farm("init", "shots.yaml").exit_code == 0
    assert (home / "batch.schema.json").exists()
    checked = farm("validate", "shots.yaml")
    assert (checked.exit_code, checked.stdout) == (0, "no problems: 7 clips, 840 frames\n")
    assert "checked without a farm: not the model's limits" in checked.stderr
    (home / "shots.yaml").write_text("mine")
    assert farm("init", "shots.yaml").exit_code == 2
    assert (home / "shots.yaml").read_text() == "mine"


def test_validate_reports_everything_at_once(home: Path) -> None:
    (home / "f.csv").write_text("prompt,frames,wedge\na,0,\nb,1,seed\n")
    checked = farm("validate", "f.csv", "--json", "--webhook", "ftp://x", "--output", "{id}")
    assert checked.exit_code == 2
    found = json.loads(checked.stdout)
    assert [(each["row"], each["column"]) for each in found] == [
        (0, "--output"),
        (0, "--webhook"),
        (2, "frames"),
        (3, "wedge"),
    ]


@pytest.mark.parametrize(
    "url", ["https://example.com", "http://10.0.0.1:8080/a?b=c", "https://[::1]/x", " ", ""]
)
def test_an_address_of_the_web_is_taken(url: str) -> None:
    assert web_address(url) == url.strip()


@pytest.mark.parametrize(
    "url", ["ftp://x", "https://", "example.com", "https://a b", "http://x:port", "https://u@h/"]
)
def test_another_address_is_refused(url: str) -> None:
    with pytest.raises(BadValue, match="is no address of the web"):
        web_address(url)


BATCH = Batch(
    batch_id="b",
    name="n",
    project="p",
    created_at=0,
    budget=Budget(money=5),
    webhook="https://example.com",
    deliver_to="show:/x",
)


def test_terms_are_amended_one_by_one_and_the_budget_as_a_whole() -> None:
    asked = pb.AmendRequest(budget=types.Budget(hours=2), webhook="")
    found = amended(BATCH, asked, 0, ())
    assert (found.budget, found.webhook, found.deliver_to) == (Budget(hours=2), "", "show:/x")
    assert amended(BATCH, pb.AmendRequest(budget=types.Budget()), 0, ()).budget == Budget()
    assert amended(BATCH, pb.AmendRequest(), 0, ()) == BATCH


@pytest.mark.parametrize("money", [0.0, -1.0, float("nan"), float("inf")])
def test_a_budget_is_above_nothing(money: float) -> None:
    with pytest.raises(BadDecision, match=r"a budget of .* money: choose a number above 0"):
        amended(BATCH, pb.AmendRequest(budget=types.Budget(money=money)), 0, ())
