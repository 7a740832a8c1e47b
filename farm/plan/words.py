"""Numbers as people say them."""

from __future__ import annotations

import math


def count(number: int, noun: str) -> str:
    """`1 card`, `1,200 cards`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def doing(number: int, noun: str, verb: str) -> str:
    """`1 card works`, `62 cards work`, `1 clip goes`."""
    ending = "" if number != 1 else "es" if verb.endswith("o") else "s"
    return f"{count(number, noun)} {verb}{ending}"


def duration(seconds: float) -> str:
    """`40 seconds`, `14 minutes`, `3 h 20 min`, rounded up: as exact as people want it."""
    whole = max(1, math.ceil(seconds))
    if whole < 90:
        return count(whole, "second")
    minutes = math.ceil(whole / 60)
    if minutes < 90:
        return count(minutes, "minute")
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return count(math.ceil(minutes / 60 / 24), "day")
