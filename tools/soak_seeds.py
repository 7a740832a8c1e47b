"""Simulate very many seeds, and go on where an earlier run ended.

    python tools/soak_seeds.py [--seeds 100000] [--done FILE] [--minutes M]

FILE (default: sim-soak.json) remembers how far the seeds are done and what they add up to, so runs
add up; a seed that fails is listed, its ledger kept beside FILE, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections import Counter, deque
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from farm.sim.seeded import SeedFailed, run_seed

AT_ONCE = 5
"""Seeds of one turn of a process."""
AHEAD_MAX = 3
"""Turns for each process beyond the one that is waited for: none is idle while another one has a
slow turn, and when time is up no more than these are still to be ended."""


@dataclass
class Done:
    """What the file remembers."""

    next_seed: int = 0
    """Every smaller one is done."""
    failed: dict[str, str] = field(default_factory=dict)
    """Seed → what did not hold."""
    virtual_hours: float = 0.0
    wall_seconds: float = 0.0
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, turn: Turn, next_seed: int) -> None:
        """Take in the turn that ends before `next_seed`."""
        self.next_seed = next_seed
        self.failed.update(turn.failed)
        self.virtual_hours += turn.virtual_hours
        self.counts = dict(Counter(self.counts) + turn.counts)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(self), indent=2, sort_keys=True) + "\n")
        part.replace(path)


@dataclass
class Turn:
    """What some seeds came to."""

    failed: dict[str, str] = field(default_factory=dict)
    virtual_hours: float = 0.0
    counts: Counter[str] = field(default_factory=Counter)


def run_some(seeds: range, keep: Path) -> Turn:
    """Simulate some seeds, in a process of their own."""
    turn = Turn()
    for seed in seeds:
        try:
            outcome = run_seed(seed, keep / f"seed-{seed}.db")
        except SeedFailed as error:
            turn.failed[str(seed)] = str(error)
            continue
        turn.virtual_hours += outcome.finish_seconds / 3600
        turn.counts.update(outcome.record.counts)
        turn.counts.update({f"clips {state}": n for state, n in outcome.states.items()})
    return turn


def main() -> int:
    """Run until all seeds are done, time is up, or Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=100_000)
    parser.add_argument("--done", type=Path, default=Path("sim-soak.json"))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    done = Done(**json.loads(options.done.read_text())) if options.done.exists() else Done()
    until = time.monotonic() + 60 * options.minutes
    try:
        _run(done, options, until)
    except KeyboardInterrupt:
        print(f"interrupted; the same command goes on at seed {done.next_seed}")
    print(
        f"{done.next_seed:,} seeds, {len(done.failed)} failed, "
        f"{done.virtual_hours:,.0f} h simulated in {done.wall_seconds / 60:,.1f} min: "
        + ", ".join(f"{n:,} {name}" for name, n in sorted(done.counts.items()))
    )
    for error in done.failed.values():
        print(error)
    return 1 if done.failed else 0


def _run(done: Done, options: argparse.Namespace, until: float) -> None:
    """Results are taken in the order of their seeds, while the processes are turns ahead of it."""
    keep, began, first = options.done.absolute().parent, time.monotonic(), done.next_seed
    ahead: deque[tuple[int, Future[Turn]]] = deque()
    with ProcessPoolExecutor(options.processes) as pool:
        try:
            while True:
                while (
                    first < options.seeds
                    and len(ahead) < AHEAD_MAX * options.processes
                    and time.monotonic() < until
                ):
                    end = min(first + AT_ONCE, options.seeds)
                    ahead.append((end, pool.submit(run_some, range(first, end), keep)))
                    first = end
                if not ahead:
                    break
                end, turn = ahead.popleft()
                done.add(turn.result(), end)
                now = time.monotonic()
                done.wall_seconds, began = done.wall_seconds + now - began, now
                done.save(options.done)
                print(f"\r{done.next_seed:,} of {options.seeds:,}", end="", flush=True)
        finally:
            pool.shutdown(cancel_futures=True)
    print()


if __name__ == "__main__":
    sys.exit(main())
