"""Reviews, queries and fetches from the command line, against a real gateway and ledger."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli.app import app
from tests.client.conftest import RunningFarm
from tests.fixtures.gateway import TOKEN


@pytest.fixture(autouse=True)
def _batch(running: RunningFarm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Of five clips the first three are done, and the fourth is held at its first look."""
    monkeypatch.setenv("HELIOSTAT_ENDPOINT", running.endpoint)
    monkeypatch.setenv("HELIOSTAT_API_TOKEN", TOKEN)
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    rows = [f"s{n},p,sh{n:03},sq{n % 2}" for n in range(1, 6)]
    (tmp_path / "f.csv").write_text("\n".join(["id,prompt,Shot,Sequence", *rows, ""]))
    farm_("submit", "f.csv", "--first-look")
    with running.rig.store._engine.begin() as connection:
        run = connection.exec_driver_sql
        run(
            "UPDATE clips SET state = 'done', chunks_done = chunks, finished_at = 3"
            " WHERE ordinal <= 3"
        )
        run("UPDATE clips SET state = 'held' WHERE ordinal = 4")
        run(
            "INSERT INTO takes SELECT clip_id, 1, 'node-0', frames, 'm', 's', 3, 'k', 'a', 9, 'j',"
            " 'b', 3 FROM clips WHERE state = 'done'"
        )
        for name, total in {
            "clips": "count(*)",
            "frames": "sum(frames)",
            "chunks": "sum(chunks)",
            "chunks_done": "sum(chunks_done)",
        }.items():
            run(
                f"UPDATE tallies SET {name} = coalesce((SELECT {total} FROM clips"
                " WHERE clips.state = tallies.state), 0)"
            )
    running.rig.link.coordinator.books.read_anew()
    return


def farm_(*arguments: str, code: int = 0):
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def clips_of(*arguments: str) -> dict[str, dict]:
    lines = farm_("clips", "f", *arguments, "--json").stdout.splitlines()
    return {clip["name"]: clip for clip in map(json.loads, lines)}


def test_takes_and_held_clips_are_approved_in_one_go() -> None:
    done = farm_("approve", "f", "s1", "s4", "--note", "fine", "--by", "ann")
    assert "1 take approved, 2 to review, 1 approved, 0 rejected" in done.stdout
    assert "1 clip approved, 0 held" in done.stdout
    clips = clips_of()
    assert clips["s4"]["state"] == "queued"
    said = clips["s1"]["review"]
    assert (said["verdict"], said["note"], said["reviewer"]) == ("approved", "fine", "ann")


def test_a_clip_that_cannot_be_judged_stops_all_of_it() -> None:
    done = farm_("reject", "f", "s1", "s4", "s5", code=2)
    assert "neither held at a first look nor done (s5)" in done.stderr
    assert "has no clip nobody" in farm_("approve", "f", "s1", "nobody", code=4).stderr
    assert [clip["review"] for clip in clips_of().values()] == [None] * 5
    assert clips_of()["s4"]["state"] == "held"


def test_all_takes_that_await_review(monkeypatch: pytest.MonkeyPatch) -> None:
    farm_("reject", "f", "s2")
    lines = farm_("review", "f", "--json").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["s1", "s3"]
    assert "2 takes to review, 0 approved, 1 rejected" in farm_("review", "f").stdout
    monkeypatch.setenv("HELIOSTAT_REVIEWER", "bob@house")
    answer = json.loads(farm_("approve", "f", "--takes", "--json").stdout)
    assert (answer["takes"], answer["held"]) == (2, 0)
    assert answer["batch"]["reviews"] == {"awaiting": 0, "approved": 2, "rejected": 1}
    clips = clips_of("--approved")
    assert {clip["review"]["reviewer"] for clip in clips.values()} == {"bob@house"}
    assert "@" in clips_of("--rejected")["s2"]["review"]["reviewer"]
    assert "no take waits for a review" in farm_("approve", "f", "--takes").stdout


def test_takes_that_await_review_are_picked_by_their_columns() -> None:
    odd = ("--takes", "--where", "sequence=sq1")
    lines = farm_("review", "f", "--where", "sequence=sq1", "--json").stdout.splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["s1", "s3"]
    farm_("reject", "f", "--takes", "--where", "shot=sh003")
    assert json.loads(farm_("approve", "f", *odd, "--json").stdout)["takes"] == 1
    assert list(clips_of("--approved")) == ["s1"]
    assert list(clips_of("--rejected")) == ["s3"]
    assert "no take waits for a review" in farm_("approve", "f", *odd).stdout
    for arguments in (["--where", "shot=sh002"], ["s2", *odd]):
        assert "say --takes with it" in farm_("approve", "f", *arguments, code=2).stderr
    assert list(clips_of("--unreviewed")) == ["s2"]


def test_a_clips_history_has_its_reviews_and_the_fleets_log_says_where_a_batchs_is() -> None:
    farm_("reject", "f", "s1", "--by", "ann", "--note", "hands")
    assert "rejected by ann: hands" in farm_("why", "f/s1").stdout
    done = farm_("log", "f")
    assert done.stdout == ""
    assert "nothing was decided of f: " in done.stderr
    assert "`farm watch f --events`" in done.stderr
    assert farm_("log", "f", "--json").stdout == ""


def test_without_names_first_looks_are_meant_as_ever() -> None:
    assert "1 clip approved, 0 held" in farm_("approve", "f").stdout
    assert [clip["review"] for clip in clips_of().values()] == [None] * 5
    farm_("reject", "f", code=2)


def test_clips_are_asked_for_by_their_columns() -> None:
    assert list(clips_of("--where", "shot=SH002,sh004")) == ["s2", "s4"]
    both = clips_of("--where", "shot=*", "--where", "sequence=sq1", "--state", "done")
    assert list(both) == ["s1", "s3"]
    assert list(clips_of("--unreviewed", "--latest")) == ["s1", "s2", "s3"]
    assert "did you mean sequence?" in farm_("clips", "f", "--where", "sequnce=1", code=2).stderr
    assert "write it as shot=sh010" in farm_("clips", "f", "--where", "shot", code=2).stderr


def test_the_table_says_what_was_said() -> None:
    farm_("approve", "f", "s1", "--by", "ann")
    table = farm_("clips", "f").stdout
    assert "approved" in table
    assert table.count("awaiting") == 2
