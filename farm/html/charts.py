"""The geometry of charts that pages draw as SVG: horizontal bars, dots on a logarithm, lines.

What is drawn is in `charts.html.j2`, whose macros take what is made here. A chart is as narrow as
a telephone; wider screens show it larger, or several side by side.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

WIDTH: Final = 350.0
"""Units of a chart; its text is 13 of them high."""
_ROW: Final = 38.0
_TOP, _BOTTOM, _RIGHT = 12.0, 40.0, 14.0
_CHARACTER: Final = 8.6
"""Of a label, at most."""
_PLOT: Final = 190.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A value to be drawn, with the text that says it."""

    label: str
    value: float
    text: str
    tone: str = "b"


@dataclass(frozen=True, slots=True)
class Mark:
    """A bar, or a dot at the end of one."""

    label: str
    text: str
    tone: str
    y: float
    """Of its text; the bar is below."""
    length: float


@dataclass(frozen=True, slots=True)
class Tick:
    """A place on an axis, and what stands at it."""

    at: float
    text: str


@dataclass(frozen=True, slots=True)
class Bars:
    """A chart of bars."""

    name: str
    """Unique on its page: what says what it shows has ids made of it."""
    title: str
    description: str
    width: float
    height: float
    marks: tuple[Mark, ...]
    ticks: tuple[Tick, ...] = ()
    """Powers of ten, where a chart is logarithmic: it has dots instead of bars."""


@dataclass(frozen=True, slots=True)
class Series:
    """A line to be drawn."""

    label: str
    points: Sequence[tuple[float, float]]
    tone: str = "a"


@dataclass(frozen=True, slots=True)
class Line:
    """A line as a path."""

    label: str
    path: str
    tone: str
    y: float
    """Of its entry in the legend."""


@dataclass(frozen=True, slots=True)
class Lines:
    """A chart of lines over two axes."""

    name: str
    title: str
    description: str
    width: float
    height: float
    left: float
    right: float
    top: float
    bottom: float
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    x_label: str


def bars(name: str, title: str, data: Sequence[Bar]) -> Bars:
    """Bars from zero, the longest as wide as the chart."""
    most = max((bar.value for bar in data), default=0.0)
    lengths = [WIDTH * max(0.0, bar.value) / most if most > 0 else 0.0 for bar in data]
    return _bars(name, title, data, lengths)


def dots(name: str, title: str, data: Sequence[Bar]) -> Bars:
    """Values of several orders of magnitude, all above zero, on a logarithmic axis."""
    shown = [bar for bar in data if bar.value > 0]
    if not shown:
        return _bars(name, title, (), ())
    low = math.floor(math.log10(min(bar.value for bar in shown)))
    high = max(low + 1, math.ceil(math.log10(max(bar.value for bar in shown))))

    def place(value: float) -> float:
        return 6 + (WIDTH - 12) * (math.log10(value) - low) / (high - low)

    every = 1 if high - low < 5 else 2
    ticks = tuple(
        Tick(place(10.0**power), f"{10.0**power:g}" if (high - power) % every == 0 else "")
        for power in range(low, high + 1)
    )
    return _bars(name, title, shown, [place(bar.value) for bar in shown], ticks)


def lines(
    name: str,
    title: str,
    data: Sequence[Series],
    *,
    x_label: str,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
) -> Lines:
    """Lines over axes that begin at zero; there must be a point above it each way."""
    xs = [x for series in data for x, _ in series.points]
    ys = [y for series in data for _, y in series.points]
    x_steps, y_steps = steps(max(xs)), steps(max(ys))
    top = _TOP + 18.0 * len(data) + 10
    bottom, right = top + _PLOT, WIDTH - _RIGHT
    left = 12 + _CHARACTER * max(len(y_text(y)) for y in y_steps)

    def place(x: float, y: float) -> tuple[float, float]:
        across = left + (right - left) * x / max(max(xs), 1e-12)
        return across, bottom - _PLOT * y / y_steps[-1]

    found = []
    for index, series in enumerate(data):
        places = [place(x, y) for x, y in series.points]
        path = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        found.append(Line(series.label, path, series.tone, _TOP + 18.0 * index + 6))
    return Lines(
        name=name,
        title=title,
        description="; ".join(series.label for series in data),
        width=WIDTH,
        height=bottom + _BOTTOM,
        left=left,
        right=right,
        top=top,
        bottom=bottom,
        lines=tuple(found),
        x_ticks=tuple(Tick(place(x, 0)[0], x_text(x)) for x in x_steps if x <= max(xs)),
        y_ticks=tuple(Tick(place(0, y)[1], y_text(y)) for y in y_steps),
        x_label=x_label,
    )


def steps(most: float) -> list[float]:
    """Round numbers from 0 to at least `most`, four or five of them."""
    if most <= 0 or not math.isfinite(most):
        return [0.0, 1.0]
    rough = most / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [step * index for index in range(math.ceil(most / step * 0.999) + 1)]


def _bars(
    name: str,
    title: str,
    data: Sequence[Bar],
    lengths: Sequence[float],
    ticks: tuple[Tick, ...] = (),
) -> Bars:
    return Bars(
        name=name,
        title=title,
        description="; ".join(f"{bar.label}: {bar.text}" for bar in data),
        width=WIDTH,
        height=_ROW * len(data) + (24 if ticks else 0),
        marks=tuple(
            Mark(bar.label, bar.text, bar.tone, _ROW * index + 14, length)
            for index, (bar, length) in enumerate(zip(data, lengths, strict=True))
        ),
        ticks=ticks,
    )
