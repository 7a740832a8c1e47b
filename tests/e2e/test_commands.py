"""What the other commands do to a farm at work, and what they print."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import urllib3

from farm.domain.clip import ClipState
from tests.conftest import require_program
from tests.e2e.test_submit_to_takes import ROWS, write_csv
from tests.fixtures.farm import PATIENCE_SECONDS, RealFarm, clean_environment
from tests.fixtures.oracle import check_farm

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

LONG = [
    {"id": f"long {n}", "prompt": "p", "frames": "330", "size": "64x64", "seed": str(n)}
    for n in range(6)
]


def test_cancel_stops_a_batch_and_retry_goes_on_from_its_chunks(farm: RealFarm):
    batch_id = farm.submit(LONG, "cancelled")
    farm.wait_for_chunks(batch_id, 4)
    # A command takes as long to start as a slow machine likes, and meanwhile the cards go on.
    one = farm.client.cancel(batch_id, ["long 5"])
    rest = farm.client.cancel(batch_id, reason="too dark")
    assert one.cancelled + rest.cancelled + rest.batch.clips.done == len(LONG)
    verdict = check_farm(farm, batch_id, submitted=len(LONG))
    assert verdict.states()[ClipState.CANCELLED] == one.cancelled + rest.cancelled
    reasons = {row.name: row.clip.reason for row in verdict.clips.values() if row.take is None}
    reasons.pop("long 5", None)  # called off before, without a word
    assert set(reasons.values()) == {"too dark"}, "the clips that were done keep no reason"
    before = {clip: len(chunks) for clip, chunks in verdict.chunks.items()}
    assert sum(before.values()) >= 4

    farm.cli("retry", batch_id, "--failed")
    assert not farm.ledger.clip_counts()[ClipState.QUEUED], "none of them had failed"
    answer = json.loads(farm.cli("retry", batch_id, "--cancelled", "--json").stdout)
    assert answer["requeued"] == verdict.states()[ClipState.CANCELLED]
    assert farm.cli("watch", batch_id, "--json").stdout
    verdict = check_farm(farm, batch_id, submitted=len(LONG))
    assert verdict.states() == {ClipState.DONE: len(LONG)}
    chunks = sum(event.kind == "chunk" for event in verdict.events)
    assert chunks == len(LONG) * 10, "no recorded chunk was rendered again"


def test_bad_input_is_listed_and_nothing_is_submitted(farm: RealFarm, tmp_path: Path):
    bad = [
        ("a", "fine", "33", "64x64", "24", "1", "s"),
        ("a", "", "0", "65x64", "24", "-1", "s"),
    ]
    file = write_csv(tmp_path / "bad.csv", bad)
    before = farm.ledger.clip_counts()
    done = farm.cli("submit", file, code=2)
    assert done.stdout == ""
    for column in ("id", "prompt", "frames", "size", "seed"):
        lines = [line for line in done.stderr.splitlines() if f"{file}:3:{column}: " in line]
        assert len(lines) == 1, f"{column}: {done.stderr}"
    near = write_csv(tmp_path / "near.csv", [("a", "fox")], ("id", "promt"))
    assert f"{near}:1:promt: " in farm.cli("submit", near, code=2).stderr
    listed = json.loads(farm.cli("submit", file, "--json", code=2).stdout)
    assert {(p["row"], p["column"]) for p in listed} >= {(3, "prompt"), (3, "size")}
    assert farm.ledger.clip_counts() == before


def test_a_dry_run_submits_nothing(farm: RealFarm, tmp_path: Path):
    file = write_csv(tmp_path / "dry.csv", ROWS)
    before = farm.ledger.clip_counts()
    answer = json.loads(farm.cli("submit", file, "--dry-run", "--json").stdout)
    assert (answer["batch"], answer["clips"]) == (None, len(ROWS))
    assert farm.ledger.clip_counts() == before


def test_watching_ends_when_the_batch_is_called_off(farm: RealFarm):
    """Cancelled is what somebody wanted: only failed clips make an exit code of 1."""
    endless = [LONG[0] | {"frames": "14400"}]
    batch_id = farm.submit(endless, "called off")
    command = farm.command("watch", batch_id)
    with subprocess.Popen(
        command, env=farm.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as watching:
        farm.wait_for_chunks(batch_id, 1, leased=1)
        farm.client.cancel(batch_id)
        out, error = watching.communicate(timeout=PATIENCE_SECONDS)
    assert watching.returncode == 0, out + error
    assert "1 cancelled" in out


@pytest.fixture(scope="module")
def some_batch(farm: RealFarm) -> str:
    """A batch that has ended."""
    batch_id = farm.submit([LONG[0] | {"frames": "1"}], "some")
    farm.wait_until_ended(batch_id)
    return batch_id


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("cards",), ("nodes",), ("clips", "BATCH"), ("status", "BATCH"), ("version",)],
)
def test_json_is_json(farm: RealFarm, some_batch: str, arguments: tuple[str, ...]):
    words = [some_batch if word == "BATCH" else word for word in arguments]
    out = farm.cli(*words, "--json").stdout
    if words[0] == "clips":
        assert all(json.loads(line)["clip_id"] for line in out.splitlines())
    else:
        assert json.loads(out)
    assert farm.cli(*words).stdout.strip()


def test_what_is_not_there_ends_with_4(farm: RealFarm, tmp_path: Path):
    for words in (("status", "nope"), ("clips", "nope"), ("fetch", "nope", tmp_path / "x")):
        assert "nope" in farm.cli(*words, code=4).stderr


def test_a_farm_that_is_not_there_ends_with_3(farm: RealFarm, tmp_path: Path):
    farm.cli("status", "--endpoint", "127.0.0.1:1", code=3)
    farm.cli("status", "--data-dir", tmp_path / "empty", code=3)


def test_off_loopback_every_missing_secret_is_named(farm: RealFarm, tmp_path: Path):
    done = farm.cli(
        "up", "--host", "0.0.0.0", "--renderer", "testcard", "--data-dir", tmp_path / "open", code=2
    )
    for what in ("API token", "Ray token", "S3 endpoint"):
        assert what in done.stderr, done.stderr
    assert not (tmp_path / "open" / "farm.json").exists()


def test_metrics_move_while_the_farm_works(farm: RealFarm):
    batch_id = farm.submit(LONG, "metrics")
    farm.wait_for_chunks(batch_id, 2)
    first = scrape(farm)
    farm.wait_for_chunks(batch_id, 20)
    second = scrape(farm)
    assert value(second, "heliostat_rendered_frames_per_second") > 0
    for name in ("heliostat_rendered_frames_per_second", "heliostat_frames_rendered_total"):
        assert value(first, name) != value(second, name), name
    farm.wait_until_ended(batch_id)
    last = scrape(farm)
    name = "heliostat_frames_delivered_total"
    assert value(last, name) - value(first, name) == 6 * 330
    assert value(last, "heliostat_h100_equivalents") == 0, "a test card is worth no H100"
    promtool = require_program("promtool")
    checked = subprocess.run(
        [promtool, "check", "metrics"], input=last, capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")
    check_farm(farm, batch_id, submitted=len(LONG))


def scrape(farm: RealFarm) -> str:
    url = f"http://127.0.0.1:{farm.port + 1}/metrics"
    answer = urllib3.request("GET", url, timeout=PATIENCE_SECONDS)
    assert answer.status == 200
    return answer.data.decode()


def value(page: str, name: str) -> float:
    """The sum of a metric's samples."""
    lines = [line for line in page.splitlines() if line.split("{")[0].split(" ")[0] == name]
    assert lines, f"{name} is not on the page"
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


def test_ray_lets_nobody_in_without_its_token(farm: RealFarm):
    connect = f"import ray; ray.init(address={farm.settings.ray_address!r}, namespace='heliostat')"
    wrong = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    done = subprocess.run(
        [sys.executable, "-c", connect],
        env={**clean_environment(), **wrong, "RAY_gcs_rpc_server_connect_timeout_s": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "authenticat" in done.stderr.lower(), done.stderr[-2000:]
