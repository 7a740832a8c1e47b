"""From what clips show to how many show what was asked for, beside what chance would give."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .captions import Content
from .judge import UNSEEN, Shown
from .world import DIRECTIONS

SHUFFLES = 50
Z = 1.959964
"""Of a two-sided confidence of 95%."""

PROPERTIES: Mapping[str, Callable[[Content, Shown], bool | None]] = {
    "ground": lambda content, shown: shown.ground == content[2],
    "colour": lambda content, shown: shown.colour == content[1],
    "shape": lambda content, shown: None if shown.shape == UNSEEN else shown.shape == content[0],
    "direction": lambda content, shown: shown.motion == content[3],
    "motion": lambda content, shown: shown.motion == content[3],
}
"""Whether a chunk shows what its caption says; None where it cannot be told, as the kind of a shape
that is never whole in the picture. Direction counts captions with a direction only."""


@dataclass(frozen=True, slots=True)
class Told:
    """A clip that was judged."""

    content: Content
    """What its caption says."""
    chunks: list[Shown]
    jump: float
    """`seams.seam_jump`."""
    ground_drift: float
    colour_drift: float
    """`seams.drift` between the first chunk and the last."""


@dataclass(frozen=True, slots=True)
class Row:
    """How often a property is as asked for."""

    property: str
    chunks: str
    """Which of a clip's chunks have to show it: all in which it can be told, one at least."""
    clips: int
    share: float
    low: float
    high: float
    """Wilson's interval, 95%."""
    chance: float
    """Share with the captions of other clips, the mean over `SHUFFLES` shuffles."""
    chance_low: float
    chance_high: float
    """Wilson's interval of as many clips."""


def rows(clips: Sequence[Told], windows: Sequence[tuple[int, int]]) -> list[Row]:
    """Every property over every window of chunks, given by the first and the one after the last."""
    return [
        _row(name, clips, first, end)
        for first, end in windows
        for name in PROPERTIES
        if all(len(clip.chunks) >= end for clip in clips)
    ]


def _row(name: str, clips: Sequence[Told], first: int, end: int) -> Row:
    asked = [clip for clip in clips if name != "direction" or clip.content[3] in DIRECTIONS]
    right = PROPERTIES[name]

    def shows(content: Content, clip: Told) -> bool:
        found = [right(content, shown) for shown in clip.chunks[first:end]]
        return True in found and False not in found

    hits = sum(shows(clip.content, clip) for clip in asked)
    rng = np.random.default_rng(0)
    by_chance = 0
    for _ in range(SHUFFLES):
        others = _deranged(len(asked), rng)
        by_chance += sum(
            shows(asked[other].content, clip) for other, clip in zip(others, asked, strict=True)
        )
    count = len(asked)
    chance = by_chance / max(1, SHUFFLES * count)
    window = f"{first + 1}" if end == first + 1 else f"{first + 1} to {end}"
    share = hits / max(1, count)
    return Row(name, window, count, share, *wilson(share, count), chance, *wilson(chance, count))


def _deranged(count: int, rng: np.random.Generator) -> list[int]:
    """A shuffle in which nobody keeps their own place, where there are two or more."""
    order = rng.permutation(count)
    other = np.empty(count, int)
    other[order] = np.roll(order, 1)
    return [int(each) for each in other]


def wilson(share: float, count: int) -> tuple[float, float]:
    """Wilson's score interval of a share of `count`, 95% (Wilson 1927)."""
    if count == 0:
        return 0.0, 1.0
    centre = share + Z**2 / (2 * count)
    reach = Z * math.sqrt(share * (1 - share) / count + Z**2 / (4 * count**2))
    scale = 1 + Z**2 / count
    return max(0.0, (centre - reach) / scale), min(1.0, (centre + reach) / scale)


@dataclass(frozen=True, slots=True)
class Mean:
    """A number of each clip, over all clips that have it."""

    what: str
    clips: int
    mean: float
    low: float
    high: float
    """The mean's interval, 95%, by its standard error."""


def means(clips: Sequence[Told]) -> list[Mean]:
    """Seam jump and drift."""
    series = {
        "jump at seams, by the change inside chunks": [clip.jump for clip in clips],
        "drift of the ground, RGB": [clip.ground_drift for clip in clips],
        "drift of the shape's colour, RGB": [clip.colour_drift for clip in clips],
    }
    found = []
    for what, values in series.items():
        known = [value for value in values if not math.isnan(value)]
        if known:
            mean = float(np.mean(known))
            error = float(np.std(known)) / math.sqrt(len(known))
            found.append(Mean(what, len(known), mean, mean - Z * error, mean + Z * error))
    return found


def table(found: Sequence[Row], numbers: Sequence[Mean]) -> str:
    """Both as Markdown."""
    lines = [
        "| property | chunks | clips | as asked | 95% | by chance | 95% |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.property} | {row.chunks} | {row.clips} | **{row.share:.1%}** |"
        f" {row.low:.1%} to {row.high:.1%} | {row.chance:.1%} |"
        f" {row.chance_low:.1%} to {row.chance_high:.1%} |"
        for row in found
    ]
    lines += ["", "| number | clips | mean | 95% |", "|---|---|---|---|"]
    lines += [
        f"| {each.what} | {each.clips} | **{each.mean:.2f}** | {each.low:.2f} to {each.high:.2f} |"
        for each in numbers
    ]
    return "\n".join(lines) + "\n"


def record(found: Sequence[Row], numbers: Sequence[Mean]) -> dict[str, Any]:
    """Both for JSON."""
    return {
        "properties": [asdict(row) for row in found],
        "numbers": [asdict(each) for each in numbers],
    }
