"""Deadlines and sizes as people write them."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest

from farm.client import BadRequest
from farm.client.times import ago, deadline, memory_size, timestamp

NOW = datetime(2026, 11, 24, 17, 30, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("19:00", "2026-11-24T18:00"),
        ("09:00", "2026-11-25T08:00"),
        ("9:00", "2026-11-25T08:00"),
        ("18:30", "2026-11-25T17:30"),
        ("+8h", "2026-11-25T01:30"),
        ("+90m", "2026-11-24T19:00"),
        ("+1d2h", "2026-11-25T19:30"),
        ("2026-12-01T09:00", "2026-12-01T08:00"),
        ("2026-07-01T09:00", "2026-07-01T07:00"),
        ("2026-12-01T09:00+00:00", "2026-12-01T09:00"),
    ],
)
def test_a_deadline_is_on_this_machines_clock(text: str, expected: str) -> None:
    assert deadline(text, NOW) == datetime.fromisoformat(f"{expected}+00:00")


@pytest.mark.parametrize("text", ["", "tomorrow", "25:00", "+", "+8", "8h", "+" + "9" * 20 + "d"])
def test_what_is_no_deadline_says_how_one_is_written(text: str) -> None:
    with pytest.raises(BadRequest, match="write 09:00, 2026-11-25T09:00"):
        deadline(text, NOW)


def test_sizes_are_those_by_which_cards_are_sold() -> None:
    assert memory_size("16G") == memory_size("16 GB") == memory_size("16000m") == 16 * 10**9
    assert memory_size("7.5GiB") == 7.5 * 2**30
    for text in ("16", "0G", "-1G", "lots"):
        with pytest.raises(BadRequest, match="write 16G"):
            memory_size(text)


def test_a_time_without_a_zone_is_this_machines() -> None:
    stamp = timestamp(datetime.fromisoformat("2026-12-01T09:00"))
    assert stamp is not None
    assert stamp.ToJsonString() == "2026-12-01T08:00:00Z"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", "2026-11-24T17:28:30"),
        ("10m", "2026-11-24T17:20"),
        ("2h", "2026-11-24T15:30"),
        ("1d", "2026-11-23T17:30"),
        ("2026-11-24T12:00", "2026-11-24T11:00"),
        ("2026-11-24T12:00Z", "2026-11-24T12:00"),
    ],
)
def test_a_time_in_the_past(text: str, expected: str):
    assert ago(text, NOW) == datetime.fromisoformat(expected).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "10", "m", "10x", "-5m", "999999d", "yesterday"])
def test_no_time_in_the_past(text: str):
    with pytest.raises(BadRequest, match="10m"):
        ago(text, NOW)
