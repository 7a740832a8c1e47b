"""Clips wait for takes of other clips, and for batches that end."""

from __future__ import annotations

from farm.plan.waits import Waits


def test_a_clip_goes_when_the_last_thing_it_waits_for_has_happened() -> None:
    waits = Waits()
    waits.add("c", [("b", 1), ("b", 2), ("other", 0)])
    assert waits.settle(("b", 1)) == []
    assert waits.settle(("other", 0)) == []
    assert waits.of("c") == [("b", 2)]
    assert waits.settle(("b", 2)) == ["c"]
    assert waits.of("c") == []


def test_one_event_lets_all_go_that_waited_for_it_alone() -> None:
    waits = Waits()
    waits.add("x", [("a", 0)])
    waits.add("y", [("a", 0), ("b", 0)])
    waits.add("z", [("a", 0)])
    assert waits.waiting_for(("a", 0)) == ["x", "y", "z"]
    assert waits.settle(("a", 0)) == ["x", "z"]
    assert waits.settle(("a", 0)) == []


def test_what_is_forgotten_or_said_anew_counts_no_more() -> None:
    waits = Waits()
    waits.add("c", [("b", 1)])
    waits.add("c", [("b", 2)])
    assert waits.settle(("b", 1)) == []
    waits.forget("c")
    assert waits.settle(("b", 2)) == []
