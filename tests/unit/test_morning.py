"""What was promised by the next morning: all of what ends before, a part of what ends later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from farm.cli.morning import Line, lines, next_morning, promised_by
from heliostat.v1 import types_pb2 as types

NIGHT = datetime(2026, 11, 30, 21, tzinfo=UTC)
MORNING = datetime(2026, 12, 1, 9, tzinfo=UTC)


def batch(
    project: str = "show",
    clips: int = 100,
    hours: float | None = None,
    **counts: int,
) -> types.Batch:
    made = types.Batch(project=project, clips=types.ClipCounts(**counts))
    if hours is not None:
        made.promise.clips = clips
        made.promise.quoted_at.FromDatetime(NIGHT)
        made.promise.finish_at.FromDatetime(NIGHT + timedelta(hours=hours))
    return made


@pytest.mark.parametrize(
    ("now", "morning"),
    [
        (datetime(2026, 11, 30, 8, 59, tzinfo=UTC), datetime(2026, 11, 30, 9, tzinfo=UTC)),
        (datetime(2026, 11, 30, 9, 0, tzinfo=UTC), datetime(2026, 12, 1, 9, tzinfo=UTC)),
        (datetime(2026, 12, 31, 23, 0, tzinfo=UTC), datetime(2027, 1, 1, 9, tzinfo=UTC)),
    ],
)
def test_the_next_morning_is_nine_oclock(now: datetime, morning: datetime) -> None:
    assert next_morning(now) == morning


@pytest.mark.parametrize(
    ("hours", "promised"), [(1, 100), (12, 100), (24, 50), (48, 25), (0, 100), (None, 0)]
)
def test_a_quote_that_ends_later_promises_its_part(hours: float | None, promised: int) -> None:
    assert promised_by(batch(hours=hours), MORNING) == promised


def test_each_project_has_a_line_and_several_have_a_sum() -> None:
    shown = batch("show", 60, 1, done=40, failed=2, held=3, queued=5)
    shown.reviews.awaiting = 30
    found = lines([shown, batch("ad", 10, 24, done=1, leased=9), batch("show", 4, 1)], MORNING)
    ad, show, everything = found
    assert ad == Line("ad", promised=5, delivered=1, open=9)
    assert show == Line("show", promised=64, delivered=40, failed=2, to_review=33, open=8)
    assert everything.promised == 69
    assert everything.to_review == 33
    assert lines([shown], MORNING)[-1].project == "show"


def test_behind_is_what_nothing_open_will_become() -> None:
    assert Line("show", promised=10, delivered=4, open=3).behind == 3
    assert Line("show", promised=10, delivered=4, open=8).behind == 0
