"""A child that hangs is told from one that is slow, and from one that waits for the farm."""

from __future__ import annotations

import pytest

from node_agent.progress import Progress, StallLimits

CLIP = ("clip", 1)
LIMITS = StallLimits(multiple=10.0, seconds_min=60.0, seconds_first=1800.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def progress(clock: Clock) -> Progress:
    return Progress(LIMITS, clock)


def test_the_first_chunk_may_take_long(progress: Progress, clock: Clock) -> None:
    progress.started(CLIP)
    clock.now += 1800
    assert progress.stalled_seconds(2) is None
    clock.now += 1
    assert progress.stalled_seconds(2) == 1801


@pytest.mark.parametrize(("chunk_seconds", "allowed"), [(1.0, 60.0), (30.0, 300.0)])
def test_later_ones_a_multiple_of_what_they_usually_take(
    progress: Progress, clock: Clock, chunk_seconds: float, allowed: float
) -> None:
    progress.started(CLIP)
    progress.made(CLIP, 0, chunk_seconds)
    clock.now += allowed
    assert progress.stalled_seconds(2) is None
    clock.now += 0.5
    assert progress.stalled_seconds(2) == allowed + 0.5


def test_who_waits_for_the_farm_does_not_hang(progress: Progress, clock: Clock) -> None:
    progress.started(CLIP)
    for chunk in range(2):
        progress.made(CLIP, chunk, 1.0)
    clock.now += 10_000
    assert progress.stalled_seconds(2) is None
    progress.recorded(CLIP, 0)
    assert progress.stalled_seconds(2) is None, "it may go on from now"
    clock.now += 61
    assert progress.stalled_seconds(2) == 61


def test_a_child_without_a_clip_may_be_silent(progress: Progress, clock: Clock) -> None:
    progress.started(CLIP)
    progress.ended(CLIP)
    clock.now += 10_000
    assert progress.stalled_seconds(2) is None


def test_chunks_that_nobody_will_record_excuse_no_silence(progress: Progress, clock: Clock) -> None:
    progress.started(CLIP)
    for chunk in range(2):
        progress.made(("other", 1), chunk, 1.0)
    progress.dropped(("other", 1))
    clock.now += 61
    assert progress.stalled_seconds(2) == 61
