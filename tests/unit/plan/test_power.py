"""A circuit never carries more than its fuse, and cards begin one after another."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from farm.domain.fleet import CardFacts, Circuit
from farm.plan.policy import Policy
from farm.plan.power import may_start, watts

POLICY = Policy(card_watts_default=450.0, stagger_seconds=2.0)
LONG_AGO = -math.inf


def card(number: int, cap: float) -> CardFacts:
    return CardFacts(card_id=f"card{number}", power_cap_watts=cap)


@given(st.lists(st.sampled_from([0.0, 100.0, 165.0, 320.0]), max_size=40), st.floats(100, 4000))
def test_the_caps_of_all_that_began_stay_under_the_fuse_and_none_waits_for_nothing(
    caps: list[float], fuse: float
) -> None:
    circuit, busy, refused = Circuit("wall", fuse), list[CardFacts](), list[CardFacts]()
    for number, cap in enumerate(caps):
        asks = card(number, cap)
        why = may_start(
            asks, circuit=circuit, busy=busy, last_start=LONG_AGO, now=0.0, policy=POLICY
        )
        (refused if why else busy).append(asks)
    drawn = sum(watts(each, POLICY) for each in busy)
    assert drawn <= fuse
    for each in refused:
        assert drawn + watts(each, POLICY) > fuse


def test_starts_are_apart() -> None:
    def why(now: float) -> str:
        return may_start(
            card(1, 100.0),
            circuit=Circuit("wall", 3000.0),
            busy=[card(0, 100.0)],
            last_start=10.0,
            now=now,
            policy=POLICY,
        )

    assert why(11.9) == "another card of its circuit wall has just begun: starts are 2 s apart"
    assert why(12.0) == ""


def test_the_reason_names_the_circuit_and_the_watts() -> None:
    full = may_start(
        card(2, 0.0),
        circuit=Circuit("wall", 1000.0),
        busy=[card(0, 300.0), card(1, 300.0)],
        last_start=LONG_AGO,
        now=0.0,
        policy=POLICY,
    )
    assert full == (
        "its circuit wall carries 1000 W and 600 W of them are taken: its own 450 W have to wait"
    )
    never = may_start(
        card(2, 450.0),
        circuit=Circuit("wall", 400.0),
        busy=[],
        last_start=LONG_AGO,
        now=0.0,
        policy=POLICY,
    )
    assert never.endswith("lower its power cap, or name another circuit")
