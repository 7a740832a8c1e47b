"""Busy and idle seconds of a card, on a clock that the test sets."""

from __future__ import annotations

import contextlib

import pytest

from node_agent.render.work_clock import WorkClock, Worked


class Hands:
    """A card's clock. On a card that lags, work ends when somebody waits for it."""

    def __init__(self) -> None:
        self.time = 0.0
        self.reached: list[float] = []

    def now(self) -> float:
        return self.time

    def between(self, earlier: float, later: float) -> float:
        return later - earlier

    def reach(self, mark: float) -> None:
        self.reached.append(mark)


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def clock(hands: Hands) -> WorkClock:
    return WorkClock(hands)


def a_round(clock: WorkClock, hands: Hands, *pieces: tuple[float, float]) -> Worked:
    """A round of pieces of work, each after so many idle seconds."""
    clock.begin()
    for idle, busy in pieces:
        hands.time += idle
        with clock.working():
            hands.time += busy
    return clock.end()()


def test_gaps_between_rounds_and_between_passes_are_idle(clock: WorkClock, hands: Hands) -> None:
    clock.start()
    assert a_round(clock, hands, (0, 4), (1, 5)) == Worked(10, busy=9, idle=1)
    hands.time += 7
    assert a_round(clock, hands, (2, 4)) == Worked(6, busy=4, idle=9)


def test_time_without_clips_is_not_idle(clock: WorkClock, hands: Hands) -> None:
    a_round(clock, hands, (0, 4))
    hands.time += 100
    clock.start()
    hands.time += 3
    assert a_round(clock, hands, (0, 4)) == Worked(4, busy=4, idle=3)


def test_before_the_first_clip_nothing_is_idle(clock: WorkClock, hands: Hands) -> None:
    hands.time += 100
    assert a_round(clock, hands, (1, 4)) == Worked(5, busy=4, idle=1)


def test_work_of_a_round_that_failed_is_counted_with_the_next(
    clock: WorkClock, hands: Hands
) -> None:
    clock.begin()
    with clock.working():
        hands.time += 3
    with contextlib.suppress(MemoryError), clock.working():
        hands.time += 2
        raise MemoryError
    assert a_round(clock, hands, (0, 4)) == Worked(4, busy=7, idle=2)


def test_seconds_add_up_to_the_time_with_clips(clock: WorkClock, hands: Hands) -> None:
    clock.start()
    rounds = [a_round(clock, hands, (0.5, number), (number / 4, 2)) for number in range(5)]
    assert sum(each.busy + each.idle for each in rounds) == hands.time


def test_the_host_is_one_piece_of_work_ahead(clock: WorkClock, hands: Hands) -> None:
    """Also across rounds: it waits for the piece before the one that it just asked for."""
    a_round(clock, hands, (0, 1), (0, 1), (0, 1))
    a_round(clock, hands, (0, 1))
    assert hands.reached == [1, 2, 3]


def test_passes_are_counted_apart_from_decodes(clock: WorkClock, hands: Hands) -> None:
    clock.begin()
    for seconds in (3, 4):
        with clock.working(is_pass=True):
            hands.time += seconds
    with clock.working():
        hands.time += 2
    assert clock.end()() == Worked(9, busy=9, idle=0, passes=2, pass_seconds=7)
    assert a_round(clock, hands, (0, 1)).passes == 0


def test_lanes_share_evenly() -> None:
    whole = Worked(8, busy=6, idle=2, passes=6, pass_seconds=5)
    assert whole.share(4) == Worked(2, busy=1.5, idle=0.5, passes=1.5, pass_seconds=1.25)
