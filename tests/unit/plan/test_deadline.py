"""What can hold is known, what cannot is said early and with what would help."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from farm.plan.deadline import due, finish_bound, outlook, quick_bound, warning
from farm.plan.policy import Policy

POLICY = Policy(deadline_margin=0.1, deadline_margin_seconds=60.0)
COSTS = st.lists(st.floats(0.1, 100), min_size=1, max_size=12)
PACES = st.lists(st.floats(0.1, 50), min_size=1, max_size=8)


def greedy(costs: list[float], paces: list[float]) -> float:
    """The longest clip first, to whichever card ends it soonest: one plan among many."""
    ends = [0.0] * len(paces)
    for cost in sorted(costs, reverse=True):
        card = min(range(len(paces)), key=lambda n: ends[n] + cost * paces[n])
        ends[card] += cost * paces[card]
    return max(ends)


@given(COSTS, PACES)
def test_no_plan_beats_the_bound(costs: list[float], paces: list[float]) -> None:
    bound = finish_bound(costs, paces)
    assert quick_bound(sum(costs), max(costs), paces) <= bound * (1 + 1e-9)
    assert bound <= greedy(costs, paces) * (1 + 1e-9)


def test_the_bound_is_reached_where_the_work_divides_evenly() -> None:
    assert finish_bound([10.0] * 6, [1.0, 1.0, 0.5, 0.5]) == 10.0
    assert quick_bound(60.0, 10.0, [1.0, 1.0, 0.5, 0.5]) == 10.0


def test_few_clips_use_no_more_cards_than_there_are_clips() -> None:
    assert finish_bound([30.0], [1.0, 2.0, 2.0]) == 30.0
    assert finish_bound([30.0, 30.0], [1.0, 2.0, 2.0]) == 40.0


def test_no_cards_never_finish_and_no_clips_are_done() -> None:
    assert finish_bound([1.0], []) == quick_bound(1.0, 1.0, []) == math.inf
    assert finish_bound([], [1.0]) == quick_bound(0.0, 0.0, []) == 0.0


def test_a_batch_is_urgent_from_its_last_safe_start_on() -> None:
    def at(now: float, *, was_urgent: bool = False) -> tuple[bool, bool]:
        found = outlook(
            1000.0, 10.0, [1.0], now=now, deadline=3000.0, policy=POLICY, was_urgent=was_urgent
        )
        return found.urgent, found.feasible

    assert at(1839.0) == (False, True)
    assert at(1840.0) == (True, True)
    assert at(2000.0) == (True, True)
    assert at(2001.0) == (True, False)
    assert at(1680.0, was_urgent=True) == (True, True)
    assert at(1679.0, was_urgent=True) == (False, True)


def test_only_near_deadlines_that_can_hold_go_before_others() -> None:
    def rank(now: float) -> float:
        return due(outlook(10.0, 1.0, [1.0], now=now, deadline=500.0, policy=POLICY), 500.0)

    assert [rank(now) for now in (0.0, 450.0, 495.0)] == [math.inf, 500.0, math.inf]


def test_what_goes_before_counts() -> None:
    alone = outlook(100.0, 1.0, [1.0], now=0.0, deadline=150.0, policy=POLICY)
    second = outlook(100.0, 1.0, [1.0], now=0.0, deadline=150.0, policy=POLICY, ahead=60.0)
    assert alone.feasible
    assert not second.feasible


@given(COSTS, PACES, st.floats(0.1, 2000))
def test_the_cards_that_are_said_to_be_missing_are_enough_and_not_too_many(
    costs: list[float], paces: list[float], seconds: float
) -> None:
    units, longest, mean = sum(costs), max(costs), len(paces) / sum(1 / p for p in paces)

    def with_more(count: int) -> float:
        return quick_bound(units, longest, [*paces, *[mean] * count])

    missing = outlook(units, longest, paces, now=0.0, deadline=seconds, policy=POLICY).cards_missing
    if missing is None:
        assert with_more(10_000) > seconds
        return
    assert with_more(missing) <= seconds * (1 + 1e-6)
    if missing:
        assert with_more(missing - 1) >= seconds * (1 - 1e-6)


def test_the_warning_says_by_how_much_and_what_would_help() -> None:
    late = outlook(7200.0, 60.0, [2.0, 2.0], now=0.0, deadline=3600.0, policy=POLICY)
    assert warning(late, "dailies") == (
        "batch dailies cannot keep its deadline: with 2 cards at work on nothing else, it would "
        "be 60 minutes late at best. 2 cards more of their mean speed would do"
    )
    long_clip = outlook(7200.0, 3000.0, [2.0, 2.0], now=0.0, deadline=3600.0, policy=POLICY)
    assert "More cards would not help: move the deadline by 60 minutes" in warning(long_clip, "d")
    nowhere = outlook(7200.0, 60.0, [], now=0.0, deadline=3600.0, policy=POLICY)
    assert "no card that is at work can render it" in warning(nowhere, "d")
    fine = outlook(1.0, 1.0, [2.0], now=0.0, deadline=3600.0, policy=POLICY)
    assert warning(fine, "d") == ""
