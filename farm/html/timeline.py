"""The geometry of a timeline that pages draw as SVG: what has come, over the hours."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from typing import Final

from farm.html.charts import Tick

WIDTH, HEIGHT = 960.0, 280.0
_RIGHT, _TOP, _BOTTOM = 16.0, 30.0, 34.0
_CHARACTER: Final = 8.5
"""Of an axis."""
_COLUMNS: Final = 400
"""Steps that are drawn at most, however many have come."""
_STEPS: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (
        1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600, 7200, 3 * 3600, 6 * 3600, 12 * 3600,
        86_400, 2 * 86_400, 7 * 86_400, 14 * 86_400, 28 * 86_400,
    )
)  # fmt: skip
_TICKS_MAX: Final = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What is drawn; lengths are units of the view box."""

    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    line: str
    """A path in steps."""
    area: str
    """The same, closed along the axis."""
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    marks: tuple[Tick, ...]
    """Moments with names."""
    band: tuple[float, float] | None
    """From where to where something was to be expected: left edge and width."""


def timeline(
    came: Sequence[tuple[float, float]],
    *,
    most: float,
    begin: float,
    until: float,
    end: float,
    zone: tzinfo | None,
    marks: Sequence[tuple[float, str]] = (),
    band: tuple[float, float] | None = None,
) -> Timeline:
    """Amounts as they came, summed, from `begin` to `until`; the axis goes on to `end`.

    All of them are Unix seconds. The other axis reaches up to `most` at least. Marks outside are
    left out, and so is what of the band lies there.
    """
    came = sorted(came)
    end = max(end, begin + 1.0)
    right, bottom = WIDTH - _RIGHT, HEIGHT - _BOTTOM
    sums = [0.0]
    for _, amount in came:
        sums.append(sums[-1] + amount)
    heights = _round_steps(max(most, sums[-1], 1.0))
    left = 14 + _CHARACTER * len(f"{heights[-1]:,.0f}")

    def x(at: float) -> float:
        return left + (right - left) * min(1.0, max(0.0, (at - begin) / (end - begin)))

    def y(amount: float) -> float:
        return bottom - (bottom - _TOP) * amount / heights[-1]

    moments = [at for at, _ in came]
    if len(came) > _COLUMNS:
        moments = [begin + (until - begin) * n / _COLUMNS for n in range(1, _COLUMNS + 1)]
    path = [f"M{x(begin):.1f} {y(0):.1f}"]
    path += [
        f"H{x(at):.1f} V{y(sums[bisect_right(came, (at, float('inf')))]):.1f}" for at in moments
    ]
    path.append(f"H{x(until):.1f}")
    line = " ".join(path)
    shown = None
    if band is not None and band[0] < end and band[1] > begin:
        shown = x(band[0]), max(1.0, x(band[1]) - x(band[0]))
    return Timeline(
        width=WIDTH,
        height=HEIGHT,
        left=left,
        right=right,
        top=_TOP,
        bottom=bottom,
        line=line,
        area=f"{line} V{y(0):.1f} Z",
        x_ticks=tuple(Tick(x(at), text) for at, text in _times(begin, end, zone)),
        y_ticks=tuple(Tick(y(amount), f"{amount:,.0f}") for amount in heights),
        marks=tuple(Tick(x(at), text) for at, text in marks if begin <= at <= end),
        band=shown,
    )


def _round_steps(most: float) -> list[float]:
    """Round numbers from 0 to at least `most`, at most six of them."""
    power = 1.0
    while power * 50 < most:
        power *= 10
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power * 5 >= most)
    count = -int(-most // step)
    return [step * n for n in range(count + 1)]


def _times(begin: float, end: float, zone: tzinfo | None) -> list[tuple[float, str]]:
    """Round times of the clock; at midnight stands the day that begins."""
    step = next(
        (each for each in _STEPS if (end - begin) / each.total_seconds() <= _TICKS_MAX), _STEPS[-1]
    )
    first = datetime.fromtimestamp(begin, zone)
    last = datetime.fromtimestamp(end, zone)
    at = first.replace(hour=0, minute=0, second=0, microsecond=0)
    text = "%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M"
    if (behind := (first - at) // step) > 0:
        at += behind * step
    found = []
    while at <= last:
        if at >= first:
            midnight = at.hour == at.minute == at.second == 0
            found.append((at.timestamp(), f"{at:%d %b}" if midnight else f"{at:{text}}"))
        at += step
    return found
