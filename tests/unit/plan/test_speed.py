"""Cards are known by what they have measured, and taken for their like until then."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.plan.speed import Paces, learned

POSITIVE = st.floats(0.01, 1000.0)


def test_the_first_measure_counts_whole() -> None:
    assert learned(0.0, 20.0, 4.0) == 5.0


@given(POSITIVE, POSITIVE, POSITIVE)
def test_a_measure_moves_the_pace_towards_itself_and_never_past(
    pace: float, seconds: float, cost: float
) -> None:
    after, measured = learned(pace, seconds, cost), seconds / cost
    low, high = sorted((pace, measured))
    assert low * (1 - 1e-9) <= after <= high * (1 + 1e-9)


def test_one_chunk_that_took_for_ever_does_not_change_what_a_card_is_taken_for() -> None:
    assert learned(5.0, 5_000_000.0, 1.0) == pytest.approx(7.5)


def test_a_card_that_has_become_ten_times_slower_is_known_as_such_within_twenty_chunks() -> None:
    pace = 1.0
    for _ in range(20):
        pace = learned(pace, 10.0, 1.0)
    assert pace == pytest.approx(10.0, rel=0.1)


@pytest.mark.parametrize(("seconds", "cost"), [(0.0, 1.0), (-1.0, 1.0), (1.0, 0.0)])
def test_a_measure_without_time_or_cost_tells_nothing(seconds: float, cost: float) -> None:
    assert learned(3.0, seconds, cost) == 3.0


def test_a_card_without_a_measure_is_like_its_type_else_like_the_fleet_else_one() -> None:
    paces = Paces()
    paces.put("new", "h100")
    assert paces.of("new") == 1.0
    paces.put("a", "rtx-4060-ti", 6.0)
    paces.put("b", "rtx-4060-ti", 10.0)
    paces.put("another", "rtx-4060-ti")
    assert paces.of("new") == paces.of("never heard of") == 8.0
    paces.put("h", "h100", 1.0)
    assert paces.of("new") == 1.0
    assert paces.of("another") == 8.0
    assert paces.of("never heard of") == pytest.approx(17 / 3)


def test_what_a_card_measures_is_its_own_from_the_first_chunk_on() -> None:
    paces = Paces()
    paces.put("a", "h100", 1.0)
    paces.put("b", "h100")
    assert paces.learn("b", 12.0, 4.0) == paces.of("b") == 3.0
    assert paces.of("a") == 1.0


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"), st.sampled_from(["x", "y"]), st.sampled_from([0.0, 0.1, 2, 1e6])
        ),
        max_size=30,
    )
)
def test_means_stay_those_of_the_cards_whatever_came_and_went(
    steps: list[tuple[str, str, float]],
) -> None:
    paces, known = Paces(), dict[str, tuple[str, float]]()
    for card_id, kind, pace in steps:
        if card_id in known and kind == known[card_id][0] and not pace:
            paces.forget(card_id)
            del known[card_id]
        else:
            paces.put(card_id, kind, pace)
            known[card_id] = (kind, pace)
    paces.put("asks", "x")
    measured = [p for _, p in known.values() if p]
    like = [p for kind, p in known.values() if p and kind == "x"] or measured
    expected = sum(like) / len(like) if like else 1.0
    assert math.isclose(paces.of("asks"), expected, rel_tol=1e-6, abs_tol=1e-6)
