"""The demo's steps: each is a command that its user could type."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from farm.cli import output
from farm.cli.demo.summary import sidecars, summarise
from farm.domain.errors import FarmError
from farm.fleet_ray.settings import PORTS

CARDS: Final = 2
FIRST_PORT: Final = 8460
LAST_PORT: Final = 30_000
GRACE_SECONDS: Final = 30
"""For a command that was interrupted to end by itself."""
_BIN: Final = Path(sys.executable).parent


class DemoError(FarmError):
    """The demo cannot go on; the message says why."""

    reason = "DEMO_FAILED"


def run_demo(place: Path, clips: int, *, quiet: bool) -> dict[str, Any]:
    """The whole demo below `place`; returns its summary. Raises DemoError, KeyboardInterrupt."""
    demo = _Demo(place, quiet)
    with _interruptible():
        try:
            return demo.run(clips)
        except DemoError as error:
            raise DemoError(f"the demo failed: {error}. Logs: {demo.farm_dir / 'logs'}") from error


@dataclass(frozen=True)
class _Demo:
    place: Path
    quiet: bool
    """The steps' own words go nowhere."""

    @property
    def farm_dir(self) -> Path:
        return self.place / "farm"

    @property
    def model(self) -> Path:
        return self.place / "model"

    def run(self, clips: int) -> dict[str, Any]:
        started = time.monotonic()
        takes = self.place / "clips"
        self.place.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(takes, ignore_errors=True)
        self._copy_model()
        port = free_base_port()
        with self._running_farm(port):
            output.note(f"The farm is up. Its metrics: curl http://127.0.0.1:{port + 1}/metrics")
            submitted = time.monotonic()
            said = self._farm("submit", self._batch(clips), "--wait", "--json", capture=True)
            answer = json.loads(said)
            rendered = time.monotonic()
            self._farm("fetch", answer["batch"]["batch_id"], takes)
        arrived = len(sidecars(takes))
        if arrived != clips:
            raise DemoError(f"{arrived} of {clips} clips arrived in {takes}")
        self._farm("sheet", takes, "--out", self.place / "contact-sheet.png", capture=True)
        summary = summarise(takes, self.model, rendered - submitted)
        summary["seconds_in_all"] = round(time.monotonic() - started, 1)
        text = json.dumps(summary, indent=2) + "\n"
        (self.place / "summary.json").write_text(text, encoding="utf-8")
        return summary

    def _copy_model(self) -> None:
        """The mini Helios, whatever an earlier demo left in its place."""
        shutil.rmtree(self.model, ignore_errors=True)
        self._ran("farm-node", "model", "mini", self.model)

    def _batch(self, clips: int) -> Path:
        """The first rows of examples/mini.csv, as a file."""
        path = self.place / f"first{clips}.csv"
        lines = (files(__package__) / "mini.csv").read_text(encoding="utf-8").splitlines()
        path.write_text("\n".join(lines[: clips + 1]) + "\n", encoding="utf-8")
        return path

    @contextlib.contextmanager
    def _running_farm(self, port: int) -> Iterator[None]:
        """A farm with a fresh ledger, taken down on the way out."""
        if (self.farm_dir / "farm.json").exists():
            self._farm_down()
        shutil.rmtree(self.farm_dir, ignore_errors=True)
        cards = ("--cpu-cards", str(CARDS), "--renderer", "helios", "--model", self.model)
        try:
            self._farm("up", *cards, "--port", str(port))
            yield
        finally:
            self._farm_down()

    def _farm_down(self) -> None:
        """Takes the farm down; no further Ctrl-C stops it from doing so."""
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        with contextlib.suppress(DemoError):
            self._farm("down")
        signal.signal(signal.SIGINT, before)

    def _farm(self, *arguments: str | Path, capture: bool = False) -> str:
        """Runs `farm`, on the demo's own data directory."""
        return self._ran("farm", *arguments, capture=capture)

    def _ran(self, program: str, *arguments: str | Path, capture: bool = False) -> str:
        """Runs a command to its end and returns what it printed, when that is captured.

        Ctrl-C reaches it once, through us, and it gets time to leave in order.
        """
        process = subprocess.Popen(
            [_BIN / program, *arguments],
            env=self._environment(),
            text=True,
            stdout=subprocess.PIPE if capture or self.quiet else None,
            stderr=subprocess.DEVNULL if self.quiet else None,
            start_new_session=True,
        )
        try:
            said, _ = process.communicate()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            process.kill()
            raise
        if process.returncode != 0:
            name = " ".join([program, *map(str, arguments[:1])])
            raise DemoError(f"`{name}` ended with exit code {process.returncode}")
        return said or ""

    def _environment(self) -> dict[str, str]:
        """Settings of any other farm stay outside."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("HELIOSTAT_")}
        return {**kept, "HELIOSTAT_DATA_DIR": str(self.farm_dir)}


def free_base_port(first: int = FIRST_PORT) -> int:
    """The first base from which all of a farm's ports are free."""
    for base in range(first, LAST_PORT, len(PORTS)):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in range(base, base + len(PORTS)):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base
    raise DemoError(f"no {len(PORTS)} free ports in a row between {first} and {LAST_PORT}")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Asked to end from outside: the same way out as Ctrl-C, which a background would ignore."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = [signal.signal(number, _interrupt) for number in numbers]
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
