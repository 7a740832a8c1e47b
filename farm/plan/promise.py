"""What was promised of a batch beside what became of it, in words."""

from __future__ import annotations

from datetime import UTC, datetime

from farm.domain.quote import Quote, Spent


def kept(promise: Quote | None, spent: Spent, at: float) -> str:
    """What a batch came to beside what was promised, for its history."""
    parts = [f"ended {clock(at)}"]
    if promise is not None and promise.hours is not None:
        likely, low, high = (
            clock(promise.finish(hours))
            for hours in (promise.hours.likely, promise.hours.low, promise.hours.high)
        )
        parts = [f"promised {likely} ({low} to {high})", *parts]
    pairs = (
        (spent.kilowatt_hours, promise.kilowatt_hours if promise else None, "kWh"),
        (spent.money, promise.money if promise else None, promise.currency if promise else ""),
    )
    parts += [f"{used:.3g} of {told.likely:.3g} {what}" for used, told, what in pairs if told]
    return "; ".join(parts)


def clock(at: float) -> str:
    """`2026-03-01 14:05 UTC`."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
