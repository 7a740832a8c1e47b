"""Deadlines and sizes as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from farm.client.errors import BadRequest

_CLOCK: Final = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)")
_FROM_NOW: Final = re.compile(r"\+(?=\d)(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?")
_AGO: Final = re.compile(r"(\d{1,6})([smhd])")
_SPANS: Final = {
    "s": timedelta(seconds=1), "m": timedelta(minutes=1), "h": timedelta(hours=1),
    "d": timedelta(days=1),
}  # fmt: skip
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(GiB|GB|G|MiB|MB|M)", re.IGNORECASE)
_UNITS: Final = {
    "g": 10**9, "gb": 10**9, "gib": 2**30, "m": 10**6, "mb": 10**6, "mib": 2**20,
}  # fmt: skip


def deadline(text: str, now: datetime) -> datetime:
    """`09:00` (the next one), `2026-11-25T09:00` or `+8h`, on this machine's clock and zone.

    `now` has a zone. Raises `BadRequest`.
    """
    if match := _CLOCK.fullmatch(text):
        at = _local(now, int(match.group(1)), int(match.group(2)))
        return at if at > now else _local(now + timedelta(days=1), at.hour, at.minute)
    if match := _FROM_NOW.fullmatch(text):
        days, hours, minutes = (int(part or 0) for part in match.groups())
        try:
            return now + timedelta(days=days, hours=hours, minutes=minutes)
        except OverflowError:
            pass
    try:
        at = datetime.fromisoformat(text)
        return at.astimezone() if at.tzinfo is None else at
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{text!r} is no deadline: write 09:00, 2026-11-25T09:00, or +8h, +90m or +2d from now"
        ) from None


def ago(text: str, now: datetime) -> datetime:
    """`10m`, `90s`, `2h` or `1d` before `now`, or a time such as `2026-11-25T09:00`.

    `now` has a zone. Raises `BadRequest`.
    """
    try:
        if match := _AGO.fullmatch(text):
            return now - int(match.group(1)) * _SPANS[match.group(2)]
        at = datetime.fromisoformat(text)
        return at.astimezone() if at.tzinfo is None else at
    except (ValueError, OverflowError):
        raise BadRequest(
            f"{text!r} is no time: write 90s, 10m, 2h or 1d ago, or 2026-11-25T09:00"
        ) from None


def memory_size(text: str) -> int:
    """`16G` (as cards are sold: 10^9 bytes), `16GiB`, `8000M` → bytes. Raises `BadRequest`."""
    match = _SIZE.fullmatch(text.strip())
    if match is None or not float(match.group(1)):
        raise BadRequest(f"{text!r} is no size of memory: write 16G, 16GiB or 8000M")
    return int(float(match.group(1)) * _UNITS[match.group(2).lower()])


def timestamp(at: datetime | None) -> Timestamp | None:
    """A time as a message; one without a zone is this machine's."""
    if at is None:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(round(at.timestamp() * 1e6))
    return stamp


def _local(day: datetime, hour: int, minute: int) -> datetime:
    """A time of the clock on this machine, on the day of `day`."""
    local = day.astimezone()
    return datetime(local.year, local.month, local.day, hour, minute).astimezone()
