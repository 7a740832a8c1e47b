"""How good the plan is over the real coordinator, with every exchange: a few of the seeds of
`bench/scheduling.py`, which runs them all."""

from __future__ import annotations

import pytest

from farm.sim.bounds import CHUNK_SECONDS, lower_bound, run_late, run_mix, run_shares


@pytest.mark.parametrize("seed", [2, 10, 14])
def test_a_mixed_fleet_ends_uneven_clips_within_5_per_cent_of_the_bound(seed: int) -> None:
    mix = run_mix(seed, 12)
    assert 0.99 < mix.ratio <= 1.05
    assert mix.idle_share < 0.02


def test_projects_get_their_shares_within_2_per_cent_over_an_hour() -> None:
    shares = run_shares({"a": 3.0, "b": 1.0}, 1)
    assert shares.off < 0.02
    assert shares.idle_share < 0.02


def test_a_late_deadline_holds_whenever_it_could() -> None:
    assert [late.holds for late in run_late(9)] == [True, True]


def test_the_bound_is_all_the_work_or_the_longest_clip() -> None:
    assert lower_bound([10, 10], [1.0, 1.0]) == 10 * CHUNK_SECONDS
    assert lower_bound([10, 10, 10], [1.0, 5.0]) == 5 * CHUNK_SECONDS
    assert lower_bound([60], [1.0, 5.0]) == 12 * CHUNK_SECONDS
