"""`make demo`: a farm on this machine, from prompts to verified clips.

Builds a small Helios of random weights, starts a farm with two CPU cards, submits the first
twelve prompts of HeliosBench, fetches the clips, and sums up what was measured. Everything it
writes lies under `demo/`. However it ends, the farm is taken down.
"""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from demo_summary import show, sidecars, summarise

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
DEMO = ROOT / "demo"
CLIPS = DEMO / "clips"
PROMPTS = ROOT / "examples" / "heliosbench_t2v.csv"
ROWS = 12
FRAMES = 66
SIZE = "128x128"
CARDS = 2
PORTS = 20
"""A farm's ports count up from its base."""
GRACE_SECONDS = 30
"""For a command that was interrupted to end by itself."""


class DemoError(Exception):
    """The demo cannot go on; the message says why."""


def run(*command: str | Path, capture: bool = False) -> str:
    """Runs a command to its end and returns its output when captured.

    Ctrl-C reaches the command once, through us, and it gets time to leave in order.
    """
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE if capture else None,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
        process.kill()
        raise
    if process.returncode != 0:
        name = " ".join([Path(command[0]).name, *map(str, command[1:2])])
        raise DemoError(f"`{name}` ended with exit code {process.returncode}")
    return output or ""


def farm(*arguments: str, capture: bool = False) -> str:
    """Runs `farm`, on the demo's own data directory."""
    return run(BIN / "farm", *arguments, capture=capture)


def farm_down() -> None:
    """Takes the farm down; no further Ctrl-C stops it from doing so."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    subprocess.run([BIN / "farm", "down"], cwd=ROOT, check=False, start_new_session=True)
    signal.signal(signal.SIGINT, before)


def free_base_port(first: int = 8460) -> int:
    """The first base from which all of a farm's ports are free."""
    for base in range(first, 30_000, PORTS):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(base, base + PORTS):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base
    raise DemoError(f"no {PORTS} free ports in a row between {first} and 30000")


@contextlib.contextmanager
def running_farm(port: int) -> Iterator[None]:
    """A farm with a fresh ledger, taken down on the way out."""
    if (DEMO / "farm" / "farm.json").exists():
        farm_down()
    shutil.rmtree(DEMO / "farm", ignore_errors=True)
    try:
        farm(
            "up", "--cpu-cards", str(CARDS), "--renderer", "helios",
            "--model", str(DEMO / "model"), "--port", str(port),
        )  # fmt: skip
        yield
    finally:
        farm_down()


def first_rows() -> Path:
    """The first rows of HeliosBench, as a file of their own."""
    path = DEMO / f"first{ROWS}.csv"
    with PROMPTS.open(newline="", encoding="utf-8") as source:
        rows = list(csv.reader(source))[: ROWS + 1]
    with path.open("w", newline="", encoding="utf-8") as target:
        csv.writer(target).writerows(rows)
    return path


def build_model() -> None:
    """The small Helios, built once."""
    if not (DEMO / "model" / "heliostat-manifest.json").exists():
        shutil.rmtree(DEMO / "model", ignore_errors=True)
        run(BIN / "farm-node", "model", "tiny", DEMO / "model")


def demo() -> None:
    """The whole demo."""
    started = time.monotonic()
    DEMO.mkdir(exist_ok=True)
    shutil.rmtree(CLIPS, ignore_errors=True)
    build_model()
    port = free_base_port()
    with running_farm(port):
        print(f"The farm is up. Its metrics: curl http://127.0.0.1:{port + 1}/metrics", flush=True)
        submitted = time.monotonic()
        arguments = ["--set", f"frames={FRAMES}", "--set", f"size={SIZE}", "--wait", "--json"]
        answer = json.loads(farm("submit", str(first_rows()), *arguments, capture=True))
        rendered = time.monotonic()
        farm("fetch", answer["batch"]["batch_id"], str(CLIPS))
    arrived = len(sidecars(CLIPS))
    if arrived != ROWS:
        raise DemoError(f"{arrived} of {ROWS} clips arrived in {CLIPS}")
    farm("sheet", str(CLIPS), "--out", str(DEMO / "contact-sheet.png"), capture=True)
    summary = summarise(CLIPS, DEMO / "model", rendered - submitted)
    summary["seconds_in_all"] = round(time.monotonic() - started, 1)
    (DEMO / "summary.json").write_text(json.dumps(summary, indent=2) + "\n", encoding="utf-8")
    show(summary)


def interrupt(_signal: int, _frame: object) -> None:
    """Asked to end from outside: the same way out as Ctrl-C."""
    raise KeyboardInterrupt


def main() -> int:
    """The command. Exit codes: 0 done, 1 failed, 130 interrupted."""
    os.environ["HELIOSTAT_DATA_DIR"] = str(DEMO / "farm")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)  # in the background SIGINT would be ignored
    try:
        demo()
    except KeyboardInterrupt:
        print("Interrupted; the farm is down.", file=sys.stderr)
        return 130
    except DemoError as error:
        print(f"The demo failed: {error}. Logs: demo/farm/logs/", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
