"""A card that hangs fails its burn-in; one that is slow, or compiles at first, does not."""

from __future__ import annotations

import threading

from node_agent.burnin.stall import MULTIPLE, SECONDS_FIRST, SECONDS_MIN, StallWatch


class Clock:
    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def rendered(*chunks: float) -> tuple[StallWatch, Clock, list[float]]:
    """A watch after chunks that took so long, its clock, and what it has said."""
    clock, said = Clock(), []
    watch = StallWatch(said.append, clock)
    for seconds in chunks:
        clock.seconds += seconds
        assert not watch.check()
        watch.beat()
    return watch, clock, said


def test_the_first_chunk_may_take_half_an_hour() -> None:
    watch, clock, said = rendered()
    clock.seconds = SECONDS_FIRST
    assert not watch.check()
    clock.seconds += 1
    assert watch.check()
    assert said == [SECONDS_FIRST + 1]


def test_then_ten_times_the_longest_chunk_is_too_long() -> None:
    watch, clock, said = rendered(900, 30, 40)
    clock.seconds += MULTIPLE * 40
    assert not watch.check()
    clock.seconds += 1
    assert watch.check()
    assert said == [MULTIPLE * 40 + 1]


def test_quick_chunks_leave_two_minutes() -> None:
    watch, clock, _ = rendered(1, 1, 1)
    clock.seconds += SECONDS_MIN
    assert not watch.check()
    clock.seconds += 1
    assert watch.check()


def test_it_looks_by_itself() -> None:
    noticed, clock = threading.Event(), Clock()
    watch = StallWatch(lambda _silent: noticed.set(), clock)
    clock.seconds = SECONDS_FIRST + 1
    watch.start()
    assert noticed.wait(60)
