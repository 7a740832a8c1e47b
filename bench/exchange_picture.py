"""Where the coordinator's writer spends its time, as a picture."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLOURS = {
    "parse": "#8172b3",
    "absorb": "#4c72b0",
    "reads of the ledger": "#64b5cd",
    "choose": "#dd8452",
    "serialise": "#937860",
    "commit: rows, SQLAlchemy": "#9bd3a5",
    "commit: statements": "#55a868",
    "commit: to the disk": "#2e6b3d",
    "tick": "#c44e52",
    "the rest of the exchange": "#8c8c8c",
    "idle": "#eeeeee",
}


def draw(result: dict[str, Any], path: Path) -> None:
    """Shares of the writer's time and the time of an answer, run by run, into a PNG."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), width_ratios=(3, 2))
    runs = [
        (f"{ledger}, {run['exchanges_per_second']:,.0f}/s", run)
        for ledger, figures in result["ledgers"].items()
        for run in figures["runs"]
    ]
    runs.reverse()
    _shares(left, runs)
    _answers(right, runs)
    about = result["about"]
    figure.suptitle(
        f"The coordinator over Ray, {result['cards']} cards  "
        f"({about['cpus']} cores, {about['date'][:10]})",
        fontsize=11,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _shares(axes: Axes, runs: list[tuple[str, dict[str, Any]]]) -> None:
    left = [0.0] * len(runs)
    for phase, colour in COLOURS.items():
        values = [100 * run["writer_shares"].get(phase, 0.0) for _, run in runs]
        if max(values) < 0.5:
            continue
        axes.barh([name for name, _ in runs], values, left=left, color=colour, label=phase)
        left = [a + b for a, b in zip(left, values, strict=True)]
    axes.set_xlabel("share of the writer's time, %")
    axes.legend(frameon=False, fontsize=8, ncols=3, loc="lower center", bbox_to_anchor=(0.4, 1.0))
    axes.spines[["top", "right"]].set_visible(False)


def _answers(axes: Axes, runs: list[tuple[str, dict[str, Any]]]) -> None:
    names = [name for name, _ in runs]
    for part, colour in (("p99", "#c44e52"), ("p50", "#4c72b0")):
        values = [run["answer_ms"][part] for _, run in runs]
        axes.barh(names, values, color=colour, label=part, height=0.5)
        for place, value in enumerate(values):
            axes.text(value, place, f" {value:.0f}", va="center", fontsize=8)
    axes.set_xlabel("an exchange as a card sees it, ms")
    axes.set_yticks([])
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
