"""`make soak`: the tests of promise REL-1 for long, at random, adding up over runs.

    python tools/soak.py [--minutes M] [--report] [--state FILE] [--logs DIR] [--part NAME ...]

Runs one part after the other, always the one that is least done, until all have the sizes of
`PARTS`, the minutes are over, or Ctrl-C. FILE (bench/results/soak.json, which is committed, so that
runs on many machines add up) keeps what held, per part and commit, and every failure with the
command that repeats it; the same command goes on from there. Once a failure's cause is mended,
`mended` with the test that shows it is added there by hand. The exit code is 1 as long as a failure
lacks that. DIR (.soak) is for logs. `--report` only prints the tables of docs/reliability.md.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TURN_MINUTES = 2.0
"""How long seeds are simulated before another part has its turn."""


@dataclass
class Tally:
    """What is remembered of a part."""

    runs: int = 0
    seconds: float = 0.0
    counts: dict[str, float] = field(default_factory=dict)
    """What held."""
    commits: dict[str, int] = field(default_factory=dict)
    """Version of the code → its runs."""
    failures: list[dict[str, str]] = field(default_factory=list)
    """What did not: `at`, `repeat` and `log`, or `what` was said; and how it was `mended`."""


@dataclass(frozen=True)
class Part:
    """Something to do over and over."""

    name: str
    title: str
    wanted: Mapping[str, float]
    """Prefix of what is counted → how much of each such count is enough; see `share`."""

    def share(self, counts: Mapping[str, float]) -> float:
        """How much of it is done, from 0 to 1."""
        return min(min(1.0, self.held(counts, what) / most) for what, most in self.wanted.items())

    def held(self, counts: Mapping[str, float], what: str) -> float:
        """What counts towards one of the sizes: the sum of all that is called so."""
        return sum(n for name, n in counts.items() if name.startswith(what))

    def run(self, folder: Path, tally: Tally) -> None:
        """One turn; adds to the tally."""
        raise NotImplementedError


@dataclass(frozen=True)
class Tests(Part):
    """A file of tests, with another seed in each run; they say what held (`tell_soak`)."""

    path: str
    environment: Mapping[str, str]

    def run(self, folder: Path, tally: Tally) -> None:
        """See `Part.run`."""
        seed = str(secrets.randbelow(10**9))
        given = {"HELIOSTAT_CHAOS_SEED": seed, **self.environment}
        counted, log = folder / "counts.jsonl", folder / f"{self.name}-{seed}.log"
        counted.unlink(missing_ok=True)
        command = [sys.executable, "-m", "pytest", "-x", "-s", "--timeout", "0", self.path]
        try:
            with log.open("wb") as output:
                code = subprocess.run(
                    command,
                    cwd=ROOT,
                    env={**os.environ, **given, "HELIOSTAT_SOAK_COUNTS": str(counted)},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    check=False,
                ).returncode
        finally:
            counts = Counter(tally.counts)
            for line in counted.read_text().splitlines() if counted.exists() else ():
                counts.update(json.loads(line))
            tally.counts = dict(counts)
        if code == 0:
            log.unlink()
            return
        setting = " ".join(f"{name}={value}" for name, value in given.items())
        repeat = f"{setting} .venv/bin/pytest -x {self.path}"
        tally.failures.append({"at": now(), "repeat": repeat, "log": str(log)})


@dataclass(frozen=True)
class Failpoints(Tests):
    """Every single point counts: the one that was hit least says how much is done."""

    def held(self, counts: Mapping[str, float], what: str) -> float:
        """See `Part.held`."""
        return min((n for name, n in counts.items() if name.startswith(what)), default=0)


@dataclass(frozen=True)
class Seeds(Part):
    """Seeds of the simulation; `tools/soak_seeds.py` remembers which ones are done."""

    def run(self, folder: Path, tally: Tally) -> None:
        """See `Part.run`."""
        done = folder / "seeds.json"
        done.write_text(json.dumps({"next_seed": int(tally.counts.get("seeds", 0))}))
        script = ROOT / "tools" / "soak_seeds.py"
        command = [sys.executable, str(script), "--done", str(done)]
        command += ["--seeds", str(int(self.wanted["seeds"])), "--minutes", str(TURN_MINUTES)]
        subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=False)
        said: dict[str, Any] = json.loads(done.read_text())
        counts = Counter(tally.counts)
        counts.update({"farm hours simulated": said["virtual_hours"], **said["counts"]})
        tally.counts = {**counts, "seeds": said["next_seed"]}
        for seed, what in said["failed"].items():
            repeat = f"HELIOSTAT_SIM_SEED={seed} .venv/bin/pytest tests/sim/test_seeds.py"
            tally.failures.append({"at": now(), "what": what, "repeat": repeat})


PARTS: tuple[Part, ...] = (
    Seeds(
        "seeds",
        "seeds of the simulation, each a farm with faults of all kinds",
        wanted={"seeds": 100_000},
    ),
    Tests(
        "kills",
        "kill -9 of a process at random, real farm",
        wanted={"kill ": 300, "clips": 2000},
        path="tests/chaos/test_random_kills.py",
        environment={"HELIOSTAT_CHAOS_KILLS": "15", "HELIOSTAT_CHAOS_CLIPS": "100"},
    ),
    Failpoints(
        "failpoints",
        "kill -9 at each failpoint, real farm",
        wanted={"failpoint ": 20},
        path="tests/chaos/test_failpoints.py",
        environment={},
    ),
    Tests(
        "machines",
        "faults of machines and links at random, a head and three nodes",
        wanted={"fault ": 60},
        path="tests/cluster/test_random_faults.py",
        environment={"HELIOSTAT_CLUSTER_FAULTS": "5"},
    ),
)


def now() -> str:
    """The time, for people."""
    return datetime.now().astimezone().isoformat(timespec="seconds")


def commit() -> str:
    """The version of the code that runs; with a + where files differ from it."""
    command = ["git", "describe", "--always", "--exclude=*", "--dirty=+"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return said.stdout.strip()


def load(path: Path) -> dict[str, Tally]:
    """What earlier runs added up to, by part."""
    said = json.loads(path.read_text()) if path.exists() else {}
    return {part.name: Tally(**said.get(part.name, {})) for part in PARTS}


def save(path: Path, tallies: Mapping[str, Tally]) -> None:
    """Write it, whole or not at all."""
    part = path.with_suffix(".part")
    content = {name: asdict(tally) for name, tally in tallies.items()}
    part.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
    part.replace(path)


def soak(path: Path, logs: Path, parts: list[Part], until: float) -> None:
    """Give a turn to whichever part is least done, until nothing is left or time is up."""
    logs.mkdir(parents=True, exist_ok=True)
    tallies, version = load(path), commit()
    while parts and time.monotonic() < until:
        part = min(parts, key=lambda part: part.share(tallies[part.name].counts))
        tally = tallies[part.name]
        if part.share(tally.counts) >= 1:
            break
        began, failed, held = time.monotonic(), len(tally.failures), tally.counts
        try:
            part.run(logs.absolute(), tally)
            tally.runs += 1
            tally.commits[version] = tally.commits.get(version, 0) + 1
        finally:
            tally.seconds += time.monotonic() - began
            save(path, tallies)
        print(f"{now()} {part.name}: {100 * part.share(tally.counts):.1f}% done", flush=True)
        for failure in tally.failures[failed:]:
            print(f"FAILED, to repeat: {failure['repeat']}", flush=True)
        if tally.counts == held and len(tally.failures) == failed:
            print(f"{part.name}: left out, for this machine skips its tests", flush=True)
            parts = [other for other in parts if other is not part]


def report(tallies: Mapping[str, Tally]) -> str:
    """The tables of docs/reliability.md."""
    lines = ["| what | wanted | held so far | failed | hours |", "|---|---|---|---|---|"]
    for part in PARTS:
        tally = tallies[part.name]
        wanted, held = (
            ", ".join(f"{n:,.0f} {what.strip().removesuffix('s')}s" for what, n in numbers.items())
            for numbers in (
                part.wanted,
                {what: part.held(tally.counts, what) for what in part.wanted},
            )
        )
        each = " each" if isinstance(part, Failpoints) else ""
        lines.append(
            f"| {part.title} | {wanted}{each} | {held}{each} | {len(tally.failures)} "
            f"| {tally.seconds / 3600:.1f} |"
        )
    lines += ["", "| counted in | what | times |", "|---|---|---|"]
    for where, tally in tallies.items():
        lines += [f"| {where} | {name} | {n:,.0f} |" for name, n in sorted(tally.counts.items())]
    return "\n".join(lines)


def main() -> int:
    """Run, and say what it came to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--state", type=Path, default=ROOT / "bench" / "results" / "soak.json")
    parser.add_argument("--logs", type=Path, default=ROOT / ".soak")
    names = [part.name for part in PARTS]
    parser.add_argument("--part", action="append", choices=names, help="only this one")
    parser.add_argument("--report", action="store_true", help="only print the tables")
    options = parser.parse_args()
    chosen = [part for part in PARTS if part.name in (options.part or names)]
    if not options.report:
        try:
            soak(options.state, options.logs, chosen, time.monotonic() + 60 * options.minutes)
        except KeyboardInterrupt:
            print("interrupted; the same command goes on")
    tallies = load(options.state)
    print(report(tallies))
    failures = [failure for tally in tallies.values() for failure in tally.failures]
    failures = [failure for failure in failures if "mended" not in failure]
    for failure in failures:
        print(" ".join(f"{name}: {text}" for name, text in failure.items()), file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
