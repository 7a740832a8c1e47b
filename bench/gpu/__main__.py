"""Measure a GPU: children in order of value, for as long as there is time.

    python -m bench.gpu                  # everything, for nine minutes
    python -m bench.gpu --groups fast-8G,exact-8G --minutes 4
    python -m bench.gpu --rehearse       # a small model on a CPU: does the script work?

The file is written anew after each case, so that what is measured is kept when a machine is taken
away. A later call with the same `--out` measures what is not in it yet. What the processes say goes
into a log beside it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence, Set
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench.gpu.cases import FLAT_CHUNKS, LANES_MAX, ROUNDS, Group, named, order, picked
from bench.gpu.child import Request
from bench.gpu.page import acceptance_table, cases_table, write
from bench.gpu.results import FOLDER, OtherPlaceError, Results

ROOT: Final = Path(__file__).resolve().parents[2]
MINUTES: Final = 9.0
GROUP_SECONDS_MIN: Final = 20.0
"""With less left no group begins: loading alone takes as long."""
GRACE_SECONDS: Final = 10.0
"""After the time is over, for the case that is under way."""
REHEARSAL_MINUTES: Final = 2.5
REHEARSED_TOGETHER: Final = 6
"""Groups that share a process in a rehearsal, where importing takes longer than measuring."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, and print the tables."""
    options = _options(arguments)
    if options.page:
        write()
        return 0
    if options.list:
        for group in _picked(options):
            print(f"{group.name:18} {'; '.join(case.name for case in group.cases)}")
        return 0
    results = Results.new("small" if options.rehearse else "full")
    if options.out.is_file():
        results = Results.read(options.out)
    groups = _picked(options, done=set() if options.again else results.done)
    run = _Run(options, results)
    together = REHEARSED_TOGETHER if options.rehearse else 1
    try:
        for begin in range(0, len(groups), together):
            run.groups(groups[begin : begin + together])
            if run.refused:
                return 1
    except OtherPlaceError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(["", *cases_table(run.results), "", *acceptance_table(run.results)]))
    print(f"\n{options.out}")
    return 0 if run.results.cases else 1


class _Run:
    """What one call of the command does."""

    def __init__(self, options: argparse.Namespace, results: Results) -> None:
        self._options = options
        self._deadline = time.time() + options.minutes * 60
        self._copies = options.copies
        self.refused = False
        """A child could not even say what it measures on; there is no use in more of them."""
        self._done: set[tuple[str, str]] = set()
        self.results = results
        results.record["commands"].append(
            shlex.join(["python", "-m", "bench.gpu", *options.arguments])
        )

    def groups(self, groups: Sequence[Group]) -> None:
        """Measure these in one process, if there is time."""
        left = self._deadline - time.time()
        if left < GROUP_SECONDS_MIN:
            self._rest(groups, "skipped", f"{left:.0f} s were left")
            return
        log = self._options.out.with_suffix(".log")
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a+") as errors:
            before = errors.tell()
            code, timed_out = self._child(groups, errors)
            errors.seek(before)
            said = errors.read()
        if timed_out:
            self._rest(groups, "skipped", "the time was over")
        elif code:
            last = said.strip().splitlines()[-1:] or ["no word"]
            print(said[-4000:], file=sys.stderr)
            self.refused = "card" not in self.results.record
            if not self.refused:
                self._rest(groups, "failed", f"the process ended with {code}: {last[0]}")

    def _child(self, groups: Sequence[Group], errors: Any) -> tuple[int, bool]:
        """Its exit code, and whether it was ended because the time was over."""
        request = Request(
            groups=groups,
            scale="small" if self._options.rehearse else "full",
            device="cpu" if self._options.rehearse else self._options.device,
            threads=self._options.threads,
            deadline=self._deadline,
            copies=self._copies,
            traces=str(self._options.out.with_suffix("")),
            parent=os.getpid(),
        )
        child = subprocess.Popen(
            [sys.executable, "-m", "bench.gpu.child", request.to_json()],
            cwd=ROOT, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        ended = threading.Event()

        def end() -> None:
            ended.set()
            child.kill()

        timer = threading.Timer(self._deadline + GRACE_SECONDS - time.time(), end)
        timer.start()
        try:
            assert child.stdout is not None
            for line in child.stdout:
                self._take(json.loads(line))
            return child.wait(), ended.is_set()
        finally:
            timer.cancel()
            child.kill()
            child.wait()

    def _take(self, record: dict[str, Any]) -> None:
        if "group" not in record:
            self.results.measured_on(record)
            self._copies = record["slow_link_copies"]
            return
        self._done.add((record["group"], record["case"]))
        self.results.add(record)
        self.results.record["measured_at"] = datetime.now(UTC).isoformat(timespec="seconds")
        self.results.write(self._options.out)
        print(f"{record['group']:18} {record['case']:22} {_brief(record)}", flush=True)

    def _rest(self, groups: Sequence[Group], state: str, why: str) -> None:
        """What has not been measured, and why."""
        for group in groups:
            for case in group.cases:
                if (group.name, case.name) not in self._done:
                    self._take(named(group, case, **{state: why}))


def _brief(record: Mapping[str, Any]) -> str:
    if "seconds_per_chunk" not in record:
        return str(record.get("failed") or record.get("skipped"))
    seconds = record["seconds_per_chunk"]["median"]
    return f"{seconds:8.3f} s a chunk {record['frames_per_second']:8.2f} FPS"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m bench.gpu", description="Measure Helios on a GPU, stock and ours."
    )
    parser.add_argument("--rehearse", action="store_true", help="a small model, on a CPU")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="begin nothing after it")
    parser.add_argument("--groups", type=lambda text: text.split(","), default=[])
    parser.add_argument("--rounds", type=int, default=FLAT_CHUNKS, help="at most, of each case")
    parser.add_argument("--lanes", type=int, default=LANES_MAX, help="at most, of each case")
    parser.add_argument("--copies", type=int, help="for the slow link; default: what makes 13 GB/s")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU")
    parser.add_argument("--out", type=Path, help="default: a file of bench/results/gpu")
    parser.add_argument("--again", action="store_true", help="also what --out has already")
    parser.add_argument("--list", action="store_true", help="list the groups and their cases")
    parser.add_argument("--page", action="store_true", help="write docs/gpu.md from the results")
    options = parser.parse_args(arguments)
    options.arguments = list(sys.argv[1:] if arguments is None else arguments)
    if options.rehearse:
        options.rounds, options.lanes = min(options.rounds, ROUNDS), min(options.lanes, 2)
        options.minutes = min(options.minutes, REHEARSAL_MINUTES)
        options.copies = options.copies or 2
    try:
        _picked(options)
    except ValueError as error:
        parser.error(str(error))
    today = datetime.now(UTC).date().isoformat()
    if options.out is None:
        folder = Path(tempfile.mkdtemp(prefix="rehearsal-")) if options.rehearse else FOLDER
        options.out = folder / f"{today}.json"
    options.out = options.out.absolute()
    return options


def _picked(options: argparse.Namespace, done: Set[tuple[str, str]] = frozenset()) -> list[Group]:
    limits = {"rounds_max": options.rounds, "lanes_max": options.lanes}
    return list(picked(order(), options.groups, **limits, done=done))


if __name__ == "__main__":
    sys.exit(main())
