"""Projects that both wait are served by their weights, and yesterday fades."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.domain.project import Project
from farm.plan.share import Share, charged, decayed, had, shares

HALF = 3600.0


def test_usage_halves_with_each_half_life() -> None:
    assert decayed(8.0, 0.0, HALF, HALF) == 4.0
    assert decayed(8.0, 0.0, 3 * HALF, HALF) == 1.0
    assert decayed(8.0, 0.0, 1e12, HALF) == 0.0


def test_a_clock_set_back_makes_nothing_grow_and_heals_with_the_next_charge() -> None:
    ahead = Project(name="a", usage=8.0, usage_at=10 * HALF)
    assert decayed(ahead.usage, ahead.usage_at, 0.0, HALF) == 8.0
    after = charged(ahead, 0.0, 0.0, HALF)
    assert decayed(after.usage, after.usage_at, HALF, HALF) == 4.0


@given(st.lists(st.floats(0, 1e6), max_size=20), st.floats(0, 1e9))
def test_what_is_charged_and_given_back_at_once_was_never_charged(
    amounts: list[float], before: float
) -> None:
    project = after = Project(name="a", usage=before, usage_at=0.0)
    for amount in amounts:
        after = charged(charged(after, amount, 0.0, HALF), -amount, 0.0, HALF)
    assert after.usage == pytest.approx(project.usage, rel=1e-6, abs=1e-6)


def test_giving_back_late_leaves_no_credit() -> None:
    charged_once = charged(Project(name="a"), 100.0, 0.0, HALF)
    assert charged(charged_once, -100.0, HALF, HALF).usage == 0.0


def test_shares_say_what_was_had_and_what_is_due() -> None:
    known = [
        Project(name="a", weight=3.0, usage=80.0, usage_at=0.0),
        Project(name="b", weight=1.0, usage=40.0, usage_at=HALF),
    ]
    found = shares(known, now=HALF, half_life_seconds=HALF)
    assert found == {"a": Share(0.5, 0.75), "b": Share(0.5, 0.25)}


def test_where_nobody_had_anything_nobody_had_a_share() -> None:
    found = shares([Project(name="a")], now=0.0, half_life_seconds=HALF)
    assert found == {"a": Share(0.0, 1.0)}
    assert shares([], now=0.0, half_life_seconds=HALF) == {}


@settings(max_examples=25, deadline=None)
@given(
    st.integers(16, 62),
    st.lists(st.integers(1, 8), min_size=2, max_size=4),
    st.lists(st.integers(1, 10), min_size=4, max_size=4),
    st.integers(0, 5),
)
def test_weights_are_kept_within_two_percent_over_an_hour(
    cards: int, weights: list[int], costs: list[int], slow: int
) -> None:
    """Cards take the next clip of whoever has had least; clips of each project are of its own
    length, 5 to 50 s, and some cards are half as fast."""
    projects = {str(n): Project(name=str(n), weight=float(w)) for n, w in enumerate(weights)}
    served = dict.fromkeys(projects, 0.0)
    free = [(0.0, card) for card in range(cards)]
    while free[0][0] < 3600.0:
        now, card = heapq.heappop(free)
        chosen = min(projects.values(), key=lambda p: (had(p, now, HALF), p.name))
        cost = 5.0 * costs[int(chosen.name)]
        projects[chosen.name] = charged(chosen, cost, now, HALF)
        served[chosen.name] += cost
        heapq.heappush(free, (now + cost * (2 if card < slow else 1), card))
    total = sum(served.values())
    for number, weight in enumerate(weights):
        assert abs(served[str(number)] / total - weight / sum(weights)) < 0.02
