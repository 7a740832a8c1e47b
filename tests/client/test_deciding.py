"""What people decide from the command line, against a real gateway, coordinator and ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli.app import app
from farm.client import Farm, Refused
from tests.client.conftest import RunningFarm
from tests.fixtures.gateway import TOKEN
from tests.fixtures.simulated_card import SimulatedCard


@pytest.fixture(autouse=True)
def _endpoint(
    running: RunningFarm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    monkeypatch.setenv("HELIOSTAT_ENDPOINT", running.endpoint)
    monkeypatch.setenv("HELIOSTAT_API_TOKEN", TOKEN)
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.csv").write_text("id,prompt,after\na,p,\nb,p,a\n")
    return


def farm_(*arguments: str, code: int = 0):
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def json_of(*arguments: str, code: int = 0):
    return json.loads(farm_(*arguments, "--json", code=code).stdout)


def test_a_batch_with_everything_that_it_is_planned_by() -> None:
    farm_("project", "set", "show", "--weight", "2", "--cap", "4", "--burst", "8")
    farm_("limit", "set", "nuke", "3")
    json_of("submit", "f.csv", "--name", "plates")
    done = farm_(
        "submit", "f.csv", "--project", "show", "--deadline", "+8h", "--after", "plates",
        "--limit", "nuke", "--card-type", "H100", "--vram", "16G", "--tag", "fast",
        "--first-look", "--order", "every:10", "--pause-after", "0",
    )  # fmt: skip
    assert 'note: f.csv:0:--card-type h100: the fleet has no card of type "h100"' in done.stderr
    batch = json_of("status", "f")
    plates = json_of("status", "plates")
    assert batch["after"] == [plates["batch_id"]]
    assert (batch["every"], batch["failures_max"], batch["first_look"]) == (10, 0, True)
    assert (batch["limits"], batch["needs"]["card_types"]) == (["nuke"], ["h100"])
    assert batch["needs"]["vram_bytes"] == 16 * 10**9
    assert batch["deadline"] is not None
    assert batch["clips"]["waiting"] == 2
    assert plates["clips"]["waiting"] == 1
    line = farm_("status", "f").stdout.splitlines()[-1]
    assert "every 10th first" in line
    assert "needs h100, 16.0 GB of VRAM, tag fast" in line
    (project,) = (each for each in json_of("project", "list") if each["name"] == "show")
    assert (project["weight"], project["cap"], project["burst"]) == (2, 4, 8)


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (
            ["--project", "shwo"],
            '--project shwo: there is no project "shwo", did you mean "show"? `farm project set',
        ),
        (
            ["--limit", "nuke"],
            '--limit nuke: there is no limit "nuke", `farm limit set nuke MOST` makes it',
        ),
        (
            ["--after", "plates"],
            "--after plates: no batch has the id or name 'plates', see `farm status`",
        ),
        (["--deadline", "2020-01-01T00:00+00:00"], "--deadline: the deadline 2020-01-01 00:00:00"),
    ],
)
def test_what_the_farm_does_not_have_is_refused_with_what_to_do(
    options: list[str], line: str
) -> None:
    farm_("project", "set", "show")
    done = farm_("submit", "f.csv", *options, code=2)
    assert done.stderr.startswith(f"f.csv:0:{line}")
    assert done.stderr.endswith("farm: 1 problem, nothing was submitted\n")
    assert json_of("status")["batches"] == []


def test_a_circle_is_named_by_its_rows() -> None:
    Path("c.csv").write_text("id,prompt,after\na,p,b\nb,p,a\nc,p,x\n")
    assert farm_("submit", "c.csv", code=2).stderr.splitlines()[0] == (
        'c.csv:4:after: no row has the id "x", '
        "write ids of other rows of this file, and --after for another batch"
    )
    Path("c.csv").write_text("id,prompt,after\na,p,b\nb,p,a\n")
    assert farm_("submit", "c.csv", code=2).stderr.startswith(
        "c.csv:2:after: clips wait for each other: a → b → a, "
    )


def test_pauses_and_amendments() -> None:
    farm_("submit", "f.csv")
    assert "paused" in farm_("pause", "f", "--reason", "dailies").stdout
    assert json_of("status", "f")["reason"] == "dailies"
    assert farm_("resume", "f").stdout.endswith(": open\n")
    line = farm_("amend", "f", "--priority", "7", "--order", "file", "--deadline", "+1h").stdout
    assert "priority 7, as in the file, due " in line
    assert json_of("amend", "f", "--no-deadline")["batch"]["deadline"] is None
    assert json_of("status", "f")["priority"] == 7
    assert json_of("pause", "nothing", code=4)["error"]["reason"] == "NOT_FOUND"
    farm_("cancel", "f")
    refused = farm_("pause", "f", code=2)
    assert "is cancelled: `farm retry" in refused.stderr


def test_what_cannot_be_decided_has_its_own_words_and_exit_code_2() -> None:
    for arguments, words in (
        (("project", "set", "s", "--weight", "0"), "a weight of 0: choose a number above 0"),
        (("project", "set", "s", "--weight", "-1"), "a weight of -1: choose"),
        (("project", "set", "s", "--cap", "0"), "a cap of 0 cards: choose 1 or more, or --no-cap"),
        (("project", "set", "s", "--cap", "4", "--burst", "2"), "a burst of 2 is below the cap"),
        (("node", "schedule", "n", "--hours", "never"), "never"),
    ):
        assert words in farm_(*arguments, code=2).stderr
    assert [each["name"] for each in json_of("project", "list")] == ["default"]
    farm_("limit", "unset", "nuke", code=4)
    farm_("node", "lock", "nobody", code=4)


def test_nodes_and_cards(running: RunningFarm) -> None:
    card = SimulatedCard(running.rig)
    running.run(card.exchange())
    host = json_of("nodes")[0]["hostname"]
    assert farm_("node", "drain", host, "--reason", "new fan").stdout == f"{host}: draining\n"
    assert json_of("nodes")[0]["standing"] == "draining"
    (shown,) = json_of("cards")
    assert (shown["standing"], shown["standing_reason"]) == ("draining", "new fan")
    assert "draining: new fan" in farm_("cards").stdout
    farm_("node", "resume", host)
    farm_("circuit", "set", "left", "3000")
    farm_("node", "circuit", host, "--on", "left")
    done = farm_("node", "schedule", "new", "--hours", "mon-sun 00:00-24:00 Europe/Berlin")
    assert done.stderr.startswith("note: no card of new was heard of yet")
    listed = {each["hostname"]: each for each in json_of("nodes")}
    assert (listed[host]["circuit"], listed[host]["cards"]) == ("left", 1)
    assert (listed["new"]["cards"], listed["new"]["in_hours"]) == (0, True)
    assert json_of("circuit", "list")[0]["nodes"] == [host]
    lines = [json.loads(line) for line in farm_("log", host, "--json").stdout.splitlines()]
    assert [(each["kind"], each["detail"]) for each in lines] == [
        ("circuit", "left"), ("resume", ""), ("drain", "new fan"),
    ]  # fmt: skip
    assert "circuit left" in farm_("log").stdout


def test_why_names_and_ids_lead_to_the_same_answer() -> None:
    farm_("submit", "f.csv")
    batch_id = json_of("status", "f")["batch_id"]
    farm_("pause", "f", "--reason", "lunch")
    by_name, by_id = json_of("why", "f/a"), json_of("why", f"{batch_id}-00001")
    assert by_name["kind"] == by_id["kind"] == "clip"
    assert by_name["answer"] == by_id["answer"]
    assert any(line.endswith("submit") for line in by_name["history"])
    assert json_of("why", "f")["kind"] == "batch"
    told = farm_("why", "f/a").stdout
    assert told.startswith("clip f/a: ")
    assert "lunch" in told
    assert json_of("why", "f/z", code=4)["error"]["reason"] == "NOT_FOUND"
    assert json_of("why", "nobody", code=4)["error"]["reason"] == "NOT_FOUND"


def test_a_changed_row_becomes_the_next_version(running: RunningFarm, tmp_path: Path) -> None:
    path = tmp_path / "shots.csv"
    path.write_text("id,prompt\na,one\nb,two\nc,three\n", encoding="utf-8")
    with Farm(running.endpoint, TOKEN) as client:
        batch = client.submit(path).batch
        assert batch is not None
        path.write_text("id,prompt\na,one\nb,TWO\nd,four\n", encoding="utf-8")
        done = client.resubmit(batch.batch_id, path)
        counts = (done.clips, done.changed, done.unchanged, done.missing)
        assert counts == (2, 1, 1, 1)
        (retake,) = client.retake(batch.batch_id, ["b"], seed=3, note="again").clips
        assert (retake.version, retake.spec.seed, retake.spec.prompt) == (3, 3, "TWO")
        client.cancel(batch.batch_id)
        with pytest.raises(Refused) as refused:
            client.resubmit(batch.batch_id, path)
    assert "is cancelled" in refused.value.problems[0].what
