"""A node renders in its hours by the clock on the wall, summer and winter."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from farm.domain.hours import DAYS, EXAMPLE, WEEK_MINUTES, Hours
from farm.domain.values import BadValue

BERLIN = ZoneInfo("Europe/Berlin")
ZONES = ["", "UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"]
YEAR_2026 = st.integers(
    int(datetime(2026, 1, 1, tzinfo=UTC).timestamp()),
    int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()),
)


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


@st.composite
def written(draw: st.DrawFn) -> str:
    parts = []
    for _ in range(draw(st.integers(1, 4))):
        begin, end = draw(
            st.tuples(st.integers(0, 1439), st.integers(1, 1440)).filter(lambda t: t[0] != t[1])
        )
        days = draw(
            st.one_of(
                st.just(""),
                st.sampled_from(DAYS),
                st.tuples(st.sampled_from(DAYS), st.sampled_from(DAYS)).map("-".join),
            )
        )
        times = f"{begin // 60:02d}:{begin % 60:02d}-{end // 60:02d}:{end % 60:02d}"
        parts.append(f"{days} {times}".strip())
    return f"{', '.join(parts)} {draw(st.sampled_from(ZONES))}".strip()


@settings(max_examples=60, deadline=None)
@given(written(), YEAR_2026)
def test_the_next_change_is_one_and_there_is_none_before_it(text: str, now: int) -> None:
    hours = Hours.parse(text)
    change = hours.next_change(now)
    last = now + 15 * 86400 if change is None else int(change)
    if change is not None:
        assert change > now
        assert hours.contains(change) != hours.contains(change - 1) == hours.contains(now)
    # Every range begins and ends on a whole minute, so a look at each minute misses nothing;
    # a look at the first days, and at the last hours, is enough to see a change that was missed.
    minutes = [*range(now, min(last, now + 2 * 86400), 60), *range(max(now, last - 7200), last, 60)]
    assert all(hours.contains(minute) == hours.contains(now) for minute in minutes)


@given(written(), YEAR_2026)
def test_what_the_clock_on_the_wall_shows_decides(text: str, now: int) -> None:
    hours = Hours.parse(text)
    here = datetime.fromtimestamp(now, hours.zone)
    minute = here.weekday() * 1440 + here.hour * 60 + here.minute
    assert hours.contains(now) == any(begin <= minute < end for begin, end in hours.ranges)
    assert all(0 <= begin < end <= WEEK_MINUTES for begin, end in hours.ranges)


@pytest.mark.parametrize(
    ("when", "inside"),
    [
        ("2026-11-27T18:59", False),  # a Friday
        ("2026-11-27T19:00", True),
        ("2026-11-28T12:00", True),
        ("2026-11-29T23:59", True),
        ("2026-11-30T00:00", False),  # Sunday has no night that goes on: its day is over
        ("2026-11-30T19:00", True),
        ("2026-12-01T06:59", True),
        ("2026-12-01T07:00", False),
    ],
)
def test_nights_go_on_into_the_next_day(when: str, inside: bool) -> None:
    assert Hours.parse(EXAMPLE).contains(at(when)) is inside


def test_a_night_that_begins_on_sunday_ends_on_monday() -> None:
    hours = Hours.parse("sun 22:00-06:00 Europe/Berlin")
    assert hours.contains(at("2026-11-30T05:59"))
    assert not hours.contains(at("2026-11-30T06:00"))
    assert hours.next_change(at("2026-11-29T23:00")) == at("2026-11-30T06:00")


def test_where_the_clock_is_set_forward_the_missing_hour_is_left_out() -> None:
    hours = Hours.parse("sun 02:00-03:00 Europe/Berlin")
    assert hours.next_change(at("2026-03-28T12:00")) == at("2026-04-05T02:00")
    over = Hours.parse("sun 00:00-02:30 Europe/Berlin")
    assert over.next_change(at("2026-03-29T01:00")) == at("2026-03-29T03:00")


def test_where_the_clock_is_set_back_the_hour_comes_twice() -> None:
    hours = Hours.parse("sun 02:00-03:00 Europe/Berlin")
    begin, end = at("2026-10-25T02:00"), at("2026-10-25T03:00")
    assert end - begin == 7200
    assert hours.next_change(begin - 1) == begin
    assert hours.next_change(begin) == end
    half = Hours.parse("sun 02:00-02:30 Europe/Berlin")
    changes = [at("2026-10-25T02:00")]
    for _ in range(3):
        change = half.next_change(changes[-1])
        assert change is not None
        changes.append(change)
    assert [c - changes[0] for c in changes] == [0, 1800, 3600, 5400]


def test_empty_is_always_and_never_changes() -> None:
    for hours in (Hours.parse(""), Hours.parse("mon-sun 00:00-24:00"), Hours.parse("00:00-24:00")):
        assert hours.contains(at("2026-03-29T02:30"))
        assert hours.next_change(0.0) is None


def test_days_may_be_written_in_full_in_any_case_and_around_the_weekend() -> None:
    assert Hours.parse("Friday-MONDAY 8:00-9:00").ranges == Hours.parse(
        "fri 08:00-09:00, sat 08:00-09:00, sun 08:00-09:00, mon 08:00-09:00"
    ).ranges  # fmt: skip


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mon-fri", "is no hours, write days and times such as mon-fri 19:00-07:00"),
        ("mon, tue 10:00-12:00", '"mon" is no hours'),
        ("mon 10:00-12:00,", "nothing between two commas"),
        ("mon 25:00-12:00", '"25:00" is no time, write 00:00 to 24:00'),
        ("mon 24:30-12:00", '"24:30" is no time'),
        ("mon 7-9", '"7" is no time, write HH:MM such as 07:00'),
        ("mon 07:60-09:00", '"07:60" is no time'),
        ("moon 07:00-09:00", '"moon" is no day, write one of mon, tue, wed, thu, fri, sat, sun'),
        ("mon 07:00-07:00", "begins when it ends, write 00:00-24:00 for the whole day"),
        ("mon 07:00-09:00 Europe/Berln", 'no time zone "Europe/Berln" here, write one such as'),
        ("mon 07:00-09:00 Berlin", 'no time zone "Berlin" here, write one such as Europe/Berlin'),
        ("mon 07:00-09:00 Europe", 'no time zone "Europe" here'),
        ("always", '"always" is no hours'),
    ],
)
def test_what_is_wrong_is_said_with_how_to_write_it(text: str, says: str) -> None:
    with pytest.raises(BadValue) as caught:
        Hours.parse(text)
    assert says in str(caught.value)


@given(st.text(max_size=40))
def test_any_text_is_hours_or_is_refused_in_words(text: str) -> None:
    with contextlib.suppress(BadValue):
        Hours.parse(text).next_change(0.0)
