"""The command line against a real gateway: what is printed, and the exit code."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli.app import app
from farm.client import Farm
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types
from tests.client.conftest import RunningFarm
from tests.fixtures.gateway import TOKEN
from tests.fixtures.simulated_card import SimulatedCard

BENCH = Path(__file__).parents[2] / "examples" / "heliosbench_t2v.csv"


@pytest.fixture(autouse=True)
def _endpoint(
    running: RunningFarm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[None]:
    monkeypatch.setenv("HELIOSTAT_ENDPOINT", running.endpoint)
    monkeypatch.setenv("HELIOSTAT_API_TOKEN", TOKEN)
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    return


def farm_(*arguments: str, code: int = 0):
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done


def json_of(*arguments: str, code: int = 0):
    return json.loads(farm_(*arguments, "--json", code=code).stdout)


def table(text: str, name: str = "f.csv") -> str:
    Path(name).write_text(text)
    return name


class TestSubmit:
    def test_the_whole_bench(self) -> None:
        done = farm_("submit", str(BENCH), "--map", "duration=frames", "--name", "bench")
        assert re.match(r"batch b[a-z2-7]{7}: 240 clips, 151,200 frames\n", done.stdout)
        assert done.stdout.endswith("may render it: its end cannot be foreseen\n")
        assert done.stderr == ""
        batch = json_of("status", "bench")
        assert (batch["name"], batch["state"], batch["frames"]) == ("bench", "open", 151_200)
        assert batch["clips"]["queued"] == 240

    def test_settings_for_all_and_own_columns(self) -> None:
        file = table("id,prompt,frames,shot\n1,a,5,sq1\n2,b,6,sq2\n")
        submitted = json_of("submit", file, "--set", "frames=66", "--set", "size=128x64")
        assert (submitted["clips"], submitted["frames"]) == (2, 132)
        clips = [json.loads(line) for line in farm_("clips", "f", "--json").stdout.splitlines()]
        assert [clip["columns"] for clip in clips] == [{"shot": "sq1"}, {"shot": "sq2"}]
        assert {(c["spec"]["frames"], c["spec"]["width"], c["spec"]["height"]) for c in clips} == {
            (66, 128, 64)
        }
        assert [clip["row"] for clip in clips] == [2, 3]
        assert clips[0]["spec"]["guidance_scale"] is None
        assert clips[0]["state"] == "queued"

    def test_a_dry_run(self) -> None:
        done = farm_("submit", table("prompt\na\n"), "--dry-run")
        assert done.stdout.startswith("no problems: 1 clip, 120 frames\n")
        assert "cannot be foreseen" in done.stdout
        assert json_of("status")["batches"] == []

    def test_the_same_request_twice(self) -> None:
        file = table("prompt\na\n")
        first = json_of("submit", file, "--request-id", "r")
        again = json_of("submit", file, "--request-id", "r")
        assert (first["repeated"], again["repeated"]) == (False, True)
        assert first["batch"]["batch_id"] == again["batch"]["batch_id"]
        table("prompt\nb\n")
        assert json_of("submit", file, "--request-id", "r", code=2)["error"]["reason"] == (
            "REQUEST_CONFLICT"
        )

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("id,prompt\n1,\n", ["2:prompt: the prompt is empty, write one or remove the row"]),
            (
                "id,prompt\n1," + "word " * 600 + "\n",
                [
                    (
                        "2:prompt: the prompt has 601 tokens and the model reads 512, "
                        "shorten it by 89 tokens or more"
                    )
                ],
            ),
            (
                "id,promt\n1,a\n",
                [
                    (
                        '1:promt: "promt" is no column of ours but close to "prompt", '
                        "rename it, or use --map promt=prompt, or --map promt=promt "
                        "to keep it as your own data"
                    )
                ],
            ),
            (
                "prompt,frames\na,0\nb,-1\nc,100000\n",
                [
                    f"{row}:frames: {n} is out of range, choose 1 to 14400"
                    for row, n in ((2, 0), (3, -1), (4, 100000))
                ],
            ),
            (
                "prompt,size\na,650x384\n",
                ["2:size: 650 in 650x384 is not a multiple of 64, use 640x384"],
            ),
            (
                "id,prompt\n7,a\n7,b\n",
                [
                    (
                        '3:id: the id "7" is taken by row 2, '
                        "give each row an id of its own, different in more than case"
                    )
                ],
            ),
            (
                f"prompt,seed\na,{2**63}\n",
                [f"2:seed: {2**63} is out of range, choose 0 to {2**63 - 1}"],
            ),
            (
                "prompt,frames\n,0\n",
                [
                    "2:prompt: the prompt is empty, write one or remove the row",
                    "2:frames: 0 is out of range, choose 1 to 14400",
                ],
            ),
        ],
    )
    def test_bad_input_is_refused_as_a_whole_line_by_line(
        self, text: str, expected: list[str]
    ) -> None:
        done = farm_("submit", table(text), code=2)
        assert done.stdout == ""
        *lines, last = done.stderr.splitlines()
        assert lines == [f"f.csv:{line}" for line in expected]
        count = "1 problem" if len(expected) == 1 else f"{len(expected)} problems"
        assert last == f"farm: {count}, nothing was submitted"
        assert len(json_of("submit", "f.csv", code=2)) == len(expected)
        assert json_of("status")["batches"] == []

    def test_a_thousand_problems_are_a_thousand_lines(self) -> None:
        done = farm_("submit", table("prompt,fps\n" + "a,0\n" * 1000), code=2)
        *lines, last = done.stderr.splitlines()
        assert lines == [
            f"f.csv:{row}:fps: 0 is out of range, choose 1 to 120" for row in range(2, 1002)
        ]
        assert last == "farm: 1,000 problems, nothing was submitted"


class TestBatches:
    def test_cancel_retry_and_list(self) -> None:
        farm_("submit", table("id,prompt\n" + "".join(f"s{n},a\n" for n in range(5))))
        assert farm_("cancel", "f", "s1", "s2", "--reason", "no").stdout.endswith(
            ": 2 clips cancelled\n"
        )
        listed = farm_("clips", "f", "--state", "cancelled").stdout
        assert [name in listed for name in ("s0", "s1", "s2", "s3")] == [False, True, True, False]
        assert json_of("retry", "f", "--cancelled")["requeued"] == 2
        assert json_of("cancel", "f")["cancelled"] == 5

    def test_what_is_not_there_has_exit_code_4(self) -> None:
        for arguments in (["status", "x"], ["clips", "x"], ["watch", "x"], ["fetch", "x", "d"]):
            done = farm_(*arguments, code=4)
            assert done.stderr.startswith("farm: no batch has the id or name 'x'")

    def test_a_name_of_two_batches_has_exit_code_2(self) -> None:
        for _ in range(2):
            farm_("submit", table("prompt\na\n"))
        assert json_of("status", "f", code=2)["error"]["reason"] == "AMBIGUOUS_NAME"

    def test_the_fleet(self, running: RunningFarm) -> None:
        running.run(SimulatedCard(running.rig, profiles=("exact", "fast")).exchange())
        shown = farm_("status").stdout
        assert "0 of 1 card earning" in shown
        assert "0.00 FPS rendered, 0.00 delivered · 0 H100" in shown
        assert "nothing waits" in shown
        assert "1 card" in farm_("top", "--once").stdout
        assert "19.53 FPS at steps [1,1,1]" in shown
        (card,) = json_of("cards")
        assert (card["card_id"], card["online"]) == ("node-0", True)
        assert (card["profile"], card["profiles"]) == ("exact", ["exact", "fast"])
        assert "node-0" in farm_("cards").stdout
        (node,) = json_of("nodes")
        assert (node["node_id"], node["hostname"]) == ("node", "host")
        assert (node["cards"], node["cards_online"], node["standing"]) == (1, 1, "open")

    def test_of_an_empty_fleet_it_is_said_what_would_fill_it(self) -> None:
        assert "farm-node join" in farm_("cards").stdout
        assert "farm-node join" in farm_("nodes").stdout
        assert "farm limit set" in farm_("limit", "list").stdout
        assert "farm circuit set" in farm_("circuit", "list").stdout


def fail(running: RunningFarm) -> None:
    """Two cards in turn find that the clip cannot be rendered."""
    failure = node_pb.FailureReport(
        failure_class=types.FAILURE_CLASS_INPUT, message="the prompt is poison"
    )
    cards = [SimulatedCard(running.rig, f"node-{n}") for n in range(2)]
    for card in cards:
        card.capacity = 0
        running.run(card.exchange())
    for card in cards:
        card.capacity = 1
        running.rig.clock.seconds += 1
        running.run(card.exchange())
        (key,) = card.held
        card._report(key, failure=failure)
        card.capacity = 0
        running.run(card.exchange())
        running.rig.clock.seconds += 20


class TestWaiting:
    def test_a_batch_with_failed_clips_has_exit_code_1(
        self, running: RunningFarm, farm: Farm
    ) -> None:
        farm.submit([{"id": "bad", "prompt": "a"}], name="b")
        fail(running)
        done = farm_("watch", "b", code=1)
        assert "1 failed" in done.stdout
        assert "clip bad (row 1) failed: " in done.stderr
        assert "the prompt is poison" in done.stderr
        events = [
            json.loads(line) for line in farm_("watch", "b", "--json", code=1).stdout.splitlines()
        ]
        of_clip, of_batch = events[-2:]
        assert (of_clip["kind"], of_clip["to_state"]) == ("fail", "failed")
        assert (of_batch["kind"], of_batch["clip_id"]) == ("failed", "")
        lines = farm_("watch", "b", "--events", code=1).stdout.splitlines()
        assert len(lines) == len(events)

    def test_waiting_ends_with_the_batch(self, running: RunningFarm, farm: Farm) -> None:
        waiting = start("submit", table("id,prompt\n1,a\n2,b\n"), "--wait")
        assert waiting.stderr is not None
        batch_id = waiting.stderr.readline().split()[1].rstrip(":")
        farm.cancel(batch_id)
        stdout, stderr = waiting.communicate(timeout=180)
        assert waiting.returncode == 0
        assert "2 cancelled" in stdout
        assert stderr.splitlines() == [
            f"clip {n} cancelled: cancelled by request ({n} of 2)" for n in (1, 2)
        ]

    def test_a_terminal_gets_bars(self, farm: Farm) -> None:
        farm.submit([{"prompt": "a"}, {"prompt": "b"}], name="b")
        farm.cancel("b", ["00002"])
        ours, terminal = pty.openpty()
        watching = start("watch", "b", stderr=terminal)
        os.close(terminal)
        farm.cancel("b")
        shown = read_all(ours)
        stdout, _ = watching.communicate(timeout=180)
        assert (watching.returncode, "2 cancelled" in stdout) == (0, True)
        for bar in ("clips", "recorded", "cards", "2/2", "0.00 FPS, 0 B uploaded"):
            assert bar in shown

    def test_ctrl_c_leaves_the_batch_on_the_farm(self, farm: Farm) -> None:
        waiting = start("submit", table("prompt\na\n"), "--wait")
        assert waiting.stderr is not None
        batch_id = waiting.stderr.readline().split()[1].rstrip(":")
        waiting.send_signal(signal.SIGINT)
        _, stderr = waiting.communicate(timeout=180)
        assert waiting.returncode == 130
        assert f"batch {batch_id} goes on on the farm" in stderr
        assert "Traceback" not in stderr
        assert farm.get(batch_id).clips.queued == 1


def start(*arguments: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from farm.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
        env=dict(os.environ) | {"TERM": "xterm", "COLUMNS": "120"},
    )


def read_all(terminal: int) -> str:
    """What was written to a terminal, without its colours, until the last writer is gone."""
    found = b""
    with contextlib.suppress(OSError):  # how Linux tells the end
        while block := os.read(terminal, 65_536):
            found += block
    os.close(terminal)
    return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", found.decode())
