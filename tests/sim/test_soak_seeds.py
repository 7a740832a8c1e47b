"""Runs of `tools/soak_seeds.py` add up, and name every seed that failed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from farm.sim.outcome import Outcome
from farm.sim.seeded import SeedFailed, run_seed
from tools import soak_seeds

BAD = 8


def _run(path: Path, seeds: int, monkeypatch: pytest.MonkeyPatch) -> int:
    words = ["soak_seeds", "--seeds", str(seeds), "--done", str(path), "--processes", "2"]
    monkeypatch.setattr("sys.argv", words)
    return soak_seeds.main()


def test_runs_add_up_to_every_seed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "done.json"
    assert _run(path, 3, monkeypatch) == 0
    assert _run(path, 13, monkeypatch) == 0
    done = json.loads(path.read_text())
    assert done["next_seed"] == 13
    expected: Counter[str] = Counter()
    for seed in range(13):
        expected += run_seed(seed).record.counts
    assert {name: done["counts"][name] for name in expected} == expected


def test_a_failed_seed_is_listed_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(seed: int, keep: Path | None = None) -> Outcome:
        if seed == BAD:
            raise SeedFailed(f"seed {seed}: a lease is left")
        return run_seed(seed, keep)

    monkeypatch.setattr(soak_seeds, "run_seed", failing)
    assert _run(tmp_path / "done.json", 11, monkeypatch) == 1
    done = json.loads((tmp_path / "done.json").read_text())
    assert (done["next_seed"], list(done["failed"])) == (11, [str(BAD)])
    assert f"seed {BAD}: a lease is left" in capsys.readouterr().out
