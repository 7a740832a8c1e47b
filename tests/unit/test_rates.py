"""Rates over a sliding window: honest at the start, exact when steady, zero after silence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.plan.rates import RateMeter


def test_a_young_meter_divides_by_its_age() -> None:
    meter = RateMeter(100.0)
    meter.add(105.0, 33)
    meter.add(110.0, 33)
    assert meter.rate(110.0) == pytest.approx(66 / 10)


def test_an_old_meter_divides_by_its_window() -> None:
    meter = RateMeter(0.0)
    for second in range(300):
        meter.add(float(second), 2)
    assert meter.rate(299.0) == pytest.approx(2.0)
    assert meter.rate(299.0, window=10.0) == pytest.approx(2.0)


def test_what_is_older_than_the_window_does_not_count() -> None:
    meter = RateMeter(0.0)
    meter.add(10.0, 33)
    assert meter.rate(69.0) == pytest.approx(33 / 60)
    assert meter.rate(71.0) == 0.0


def test_the_first_moment_gives_no_absurd_rate() -> None:
    meter = RateMeter(50.0)
    assert meter.rate(50.0) == 0.0
    meter.add(50.0, 33)
    assert meter.rate(50.0) == pytest.approx(33.0)


def test_without_a_start_the_first_count_only_starts_the_meter() -> None:
    meter = RateMeter()
    meter.add(100.0, 33)
    meter.add(110.0, 33)
    meter.add(120.0, 33)
    assert meter.rate(120.0) == pytest.approx(3.3)


def test_asking_starts_a_meter_too() -> None:
    meter = RateMeter()
    assert meter.rate(100.0) == 0.0
    meter.add(110.0, 33)
    assert meter.rate(110.0) == pytest.approx(3.3)


def test_a_window_longer_than_what_is_kept_is_refused() -> None:
    meter = RateMeter(0.0)
    with pytest.raises(ValueError, match="keeps 60"):
        meter.rate(1.0, window=61.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(0, 1000)), max_size=300))
def test_memory_has_a_limit_and_nothing_counts_twice(steps: list[tuple[float, int]]) -> None:
    meter = RateMeter(0.0)
    now, total = 0.0, 0
    for pause, count in steps:
        now += pause
        total += count
        meter.add(now, count)
    assert len(meter._buckets) <= 61
    assert meter.rate(now) * min(60.0, max(now, 1.0)) <= total + 1e-6
