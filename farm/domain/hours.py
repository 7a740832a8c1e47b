"""When a node may render: hours of the week, such as `mon-fri 19:00-07:00, sat-sun 00:00-24:00`.

Parts stand apart by commas, each a day or a range of days and a time from when to when. A time that
ends before it begins ends on the next day. Without days it is every day. At the end may stand a
time zone (`Europe/Berlin`); without one the hours are UTC. They go by the clock on the wall: where
it is set forward, the hour that does not exist is left out; where it is set back, the hour that
comes twice counts twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from itertools import pairwise
from typing import Final
from zoneinfo import ZoneInfo

from farm.domain.values import BadValue, shown

DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONG: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
DAY_MINUTES: Final = 24 * 60
WEEK_MINUTES: Final = 7 * DAY_MINUTES
EXAMPLE: Final = "mon-fri 19:00-07:00, sat-sun 00:00-24:00 Europe/Berlin"
_HORIZON_DAYS: Final = 15
"""Two weeks and a day: the only range of a week may fall into an hour that is left out."""

_PART: Final = re.compile(
    r"(?:([a-z]+)(?:-([a-z]+))?\s+)?([0-9]\S*?)\s*-\s*([0-9]\S*)", re.IGNORECASE
)
_TIME: Final = re.compile(r"([0-9]{1,2}):([0-9]{2})")
_ZONE: Final = re.compile(r"(?<=[0-9])\s+\[?([A-Za-z][\w/+-]*)\]?$")


@dataclass(frozen=True, slots=True)
class Hours:
    """Parsed hours. Ranges are minutes of the week, Monday 00:00 being 0; none is always."""

    ranges: tuple[tuple[int, int], ...] = ()
    zone: tzinfo = UTC

    @staticmethod
    def parse(text: str) -> Hours:
        """Hours as they are written; empty text is always. Raises `BadValue`."""
        return _parse(text.strip())

    def contains(self, unix_seconds: float) -> bool:
        """It is one of these hours."""
        if not self.ranges:
            return True
        at = datetime.fromtimestamp(unix_seconds, self.zone)
        minute = at.weekday() * DAY_MINUTES + at.hour * 60 + at.minute
        return any(begin <= minute < end for begin, end in self.ranges)

    def next_change(self, unix_seconds: float) -> float | None:
        """When, after that, they begin or end; None when they never do."""
        before = self.contains(unix_seconds)
        for at in sorted(self._candidates(unix_seconds)):
            if at > unix_seconds and self.contains(at) != before:
                return at
        return None

    def _candidates(self, unix_seconds: float) -> Iterator[float]:
        """Every instant near enough at which the answer may change, in no order.

        Those are the ranges' edges, each as the first and the second time that the clock shows
        it, and the jumps of the clock themselves.
        """
        here = datetime.fromtimestamp(unix_seconds, self.zone)
        midnight = here.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        edges = {minute % WEEK_MINUTES for each in self.ranges for minute in each}
        days = [midnight + timedelta(days=day) for day in range(-1, _HORIZON_DAYS + 1)]
        for day in days:
            for edge in edges:
                weekday, minute = divmod(edge, DAY_MINUTES)
                if day.weekday() == weekday:
                    shown_at = day + timedelta(minutes=minute)
                    yield from (shown_at.replace(fold=fold).timestamp() for fold in (0, 1))
        for day, following in pairwise(days):
            if day.utcoffset() != following.utcoffset():
                yield _jump(day.timestamp(), following.timestamp(), self.zone)


def _jump(low: float, high: float, zone: tzinfo) -> float:
    """The second between two instants from which on the clock has the later one's offset."""

    def offset(at: float) -> timedelta | None:
        return datetime.fromtimestamp(at, zone).utcoffset()

    late = offset(high)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if offset(middle) == late else (middle, high)
    return high


@lru_cache(maxsize=1024)
def _parse(text: str) -> Hours:
    if not text:
        return Hours()
    zone: tzinfo = UTC
    if found := _ZONE.search(text):
        zone, text = _zone(found.group(1)), text[: found.start()]
    ranges: set[tuple[int, int]] = set()
    for part in text.split(","):
        ranges.update(_ranges(part.strip()))
    return Hours(tuple(sorted(ranges)), zone)


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError):
        raise BadValue(
            f"there is no time zone {shown(name)} here", "write one such as Europe/Berlin"
        ) from None


def _ranges(part: str) -> Iterator[tuple[int, int]]:
    match = _PART.fullmatch(part)
    if match is None:
        what = f"{shown(part)} is no hours" if part else "there is nothing between two commas"
        raise BadValue(what, f"write days and times such as {EXAMPLE}")
    first, last, begin, end = match.groups()
    begins, ends = _minutes(begin), _minutes(end)
    if begins in (ends, DAY_MINUTES):
        raise BadValue(f"{shown(part)} begins when it ends", "write 00:00-24:00 for the whole day")
    if ends < begins:
        ends += DAY_MINUTES
    for day in _days(first, last):
        start, stop = day * DAY_MINUTES + begins, day * DAY_MINUTES + ends
        yield start, min(stop, WEEK_MINUTES)
        if stop > WEEK_MINUTES:
            yield 0, stop - WEEK_MINUTES


def _days(first: str | None, last: str | None) -> list[int]:
    if first is None:
        return list(range(7))
    begin = _day(first)
    end = begin if last is None else _day(last)
    return [day % 7 for day in range(begin, end + 1 + (7 if end < begin else 0))]


def _day(text: str) -> int:
    if (short := text.lower()[:3]) in DAYS and text.lower() in (short, *_LONG):
        return DAYS.index(short)
    raise BadValue(f"{shown(text)} is no day", f"write one of {', '.join(DAYS)}")


def _minutes(text: str) -> int:
    match = _TIME.fullmatch(text)
    if match is None:
        raise BadValue(f"{shown(text)} is no time", "write HH:MM such as 07:00")
    hour, minute = int(match.group(1)), int(match.group(2))
    if minute > 59 or hour * 60 + minute > DAY_MINUTES:
        raise BadValue(f"{shown(text)} is no time", "write 00:00 to 24:00")
    return hour * 60 + minute
