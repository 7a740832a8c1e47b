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
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from farm.sim.seeded import SeedFailed, run_seed

AT_ONCE = 20
"""Seeds of one turn of a process."""


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


def run_some(first: int, keep: Path) -> Turn:
    """Simulate the seeds from `first` on, in a process of their own."""
    turn = Turn()
    for seed in range(first, first + AT_ONCE):
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
    keep = options.done.absolute().parent
    with ProcessPoolExecutor(options.processes) as pool:
        while done.next_seed < options.seeds and time.monotonic() < until:
            began, first = time.monotonic(), done.next_seed
            firsts = range(first, options.seeds, AT_ONCE)[: options.processes]
            counts = Counter(done.counts)
            for turn in pool.map(run_some, firsts, [keep] * len(firsts)):
                done.failed.update(turn.failed)
                done.virtual_hours += turn.virtual_hours
                counts.update(turn.counts)
            done.counts = dict(counts)
            done.next_seed = first + AT_ONCE * len(firsts)
            done.wall_seconds += time.monotonic() - began
            done.save(options.done)
            print(f"\r{done.next_seed:,} of {options.seeds:,}", end="", flush=True)
    print()


if __name__ == "__main__":
    sys.exit(main())
