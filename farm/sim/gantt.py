"""A simulation as a picture: what every card rendered, and when."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from farm.sim.outcome import Outcome
from farm.sim.world import Span

ENDINGS: Final = (".png", ".svg")
LABELS_MAX: Final = 80
"""Cards that are named at the side."""
_COLOURS: Final = (
    "#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860", "#da8bc3", "#8c8c8c",
    "#ccb974", "#64b5cd",
)  # fmt: skip
_MARKS: Final[Mapping[str, tuple[str, str]]] = {"death": ("x", "black"), "yield": ("|", "black")}
_GAP_SECONDS: Final = 3.0
"""Chunks of a clip this close belong to one bar."""


def draw(outcome: Outcome, path: Path, title: str) -> None:
    """Write the picture: a line for each card, a colour for each batch.

    Raises `ImportError` where matplotlib is not installed.
    """
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    lines = {card.card_id: i for i, card in enumerate(outcome.cards)}
    height = max(2.5, min(40.0, 0.9 + 0.16 * len(lines)))
    figure, axes = plt.subplots(figsize=(13, height))
    colours = {b: _COLOURS[i % len(_COLOURS)] for i, b in enumerate(outcome.batches)}
    unit, seconds = ("minutes", 60) if outcome.finish_seconds < 2 * 3600 else ("hours", 3600)
    for (card_id, batch_id), bars in _bars(outcome.record.spans, seconds).items():
        axes.broken_barh(
            bars, (lines[card_id] - 0.4, 0.8), color=colours[batch_id], edgecolor="white",
            linewidth=0.2,
        )  # fmt: skip
    _draw_marks(axes, outcome, lines, seconds)
    for batch_id, name in outcome.batches.items():
        axes.plot([], [], color=colours[batch_id], linewidth=6, label=name)
    axes.set_xlabel(unit)
    axes.set_xlim(0, max(outcome.finish_seconds, 1.0) / seconds)
    axes.set_ylim(len(lines) - 0.5, -0.5)
    if len(lines) <= LABELS_MAX:
        axes.set_yticks(
            range(len(lines)), [f"{c.card_id} {c.type.name}" for c in outcome.cards], fontsize=6
        )
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8)
    axes.set_title(title, fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _bars(spans: list[Span], seconds: float) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Bars as (start, length) by card and batch, in units of so many `seconds`.

    Chunks of one clip on end are one bar.
    """
    bars: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    open_bar: dict[str, tuple[str, float, float]] = {}

    def close(card_id: str) -> None:
        clip_id, start, end = open_bar[card_id]
        batch_id = clip_id.partition("-")[0]
        bars[card_id, batch_id].append((start / seconds, (end - start) / seconds))

    for span in spans:
        last = open_bar.get(span.card_id)
        if last and last[0] == span.clip_id and span.start - last[2] < _GAP_SECONDS:
            open_bar[span.card_id] = (span.clip_id, last[1], span.end)
            continue
        if last:
            close(span.card_id)
        open_bar[span.card_id] = (span.clip_id, span.start, span.end)
    for card_id in open_bar:
        close(card_id)
    return bars


def _draw_marks(axes: Any, outcome: Outcome, lines: Mapping[str, int], seconds: float) -> None:
    for what, (shape, colour) in _MARKS.items():
        found = [
            (at / seconds, lines[card]) for at, card, mark in outcome.record.marks if mark == what
        ]
        if found:
            times, places = zip(*found, strict=True)
            axes.scatter(
                times, places, marker=shape, color=colour, s=18, linewidths=1, zorder=3, label=what
            )
