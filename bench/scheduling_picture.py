"""How near the farm comes to what no plan can beat, as a picture."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

BLUE, RED, GREY, GREEN = "#4c72b0", "#c44e52", "#8c8c8c", "#55a868"


def draw(result: dict[str, Any], path: Path) -> None:
    """Batches over their lower bounds, shares over an hour, deadlines with their times; a PNG."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(14, 4.4), width_ratios=(5, 3, 5))
    _mixes(left, result["mixes"])
    _shares(middle, result["shares"])
    _late(right, result["late"])
    for axes in (left, right):
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    for axes in (left, middle, right):
        axes.spines[["top", "right"]].set_visible(False)
    about = result["about"]
    figure.suptitle(
        f"The real coordinator on a virtual clock, cards of speed 1, 2 and 5  "
        f"({about['cpus']} cores, {about['date'][:10]})",
        fontsize=11,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _mixes(axes: Axes, mixes: list[dict[str, Any]]) -> None:
    """Per cent above the lower bound, a bar for each batch."""
    seeds = [mix["seed"] for mix in mixes]
    axes.bar(seeds, [100 * (mix["ratio"] - 1) for mix in mixes], color=BLUE)
    axes.axhline(5, color=GREY, linestyle=":")
    axes.text(seeds[-1] + 0.5, 5, "promised: 5%", ha="right", va="bottom", fontsize=9, color=GREY)
    axes.set_ylim(0, 6)
    axes.set_xlabel("seed of fleet and batch")
    axes.set_ylabel("% above the lower bound")
    axes.set_title("when a batch of uneven clips ends", fontsize=10)


def _shares(axes: Axes, runs: list[dict[str, Any]]) -> None:
    """What each project had of an hour, with a mark where its weight is; a column for each run."""
    for place, run in enumerate(runs):
        bottom, total = 0.0, sum(run["weights"].values())
        for shade, (name, had) in enumerate(run["had"].items()):
            part = run["weights"][name] / total
            axes.bar(place, had, 0.6, bottom, color=(BLUE, GREEN, RED)[shade])
            axes.text(place, bottom + had / 2, f"{had:.1%}", ha="center", va="center", fontsize=9)
            owed = bottom + part
            axes.plot([place - 0.4, place + 0.4], [owed, owed], color="black", linewidth=1)
            bottom += had
    axes.set_xticks(
        range(len(runs)), [":".join(f"{w:g}" for w in run["weights"].values()) for run in runs]
    )
    axes.set_xlabel("weights; the lines are what they entitle to")
    axes.set_ylabel("part of the hour's chunks")
    axes.set_title("shares of projects", fontsize=10)


def _late(axes: Axes, late: list[dict[str, Any]]) -> None:
    """When batches were done, as a part of the time to their deadlines."""
    for kind, colour in (("tight", RED), ("roomy", BLUE)):
        found = [each for each in late if each["kind"] == kind]
        axes.plot(
            [each["seed"] for each in found],
            [
                each["finish_seconds"] / each["deadline_seconds"] if each["finish_seconds"] else 1.2
                for each in found
            ],
            "o", color=colour, label=kind,
        )  # fmt: skip
    tight = [each for each in late if each["kind"] == "tight"]
    axes.plot(
        [each["seed"] for each in tight],
        [each["bound_seconds"] / each["deadline_seconds"] for each in tight],
        "_", color=GREY, label="lower bound of the tight",
    )  # fmt: skip
    axes.axhline(1, color=GREY, linestyle=":")
    axes.set_ylim(0, 1.25)
    axes.set_xlabel("seed of fleet and batch")
    axes.set_ylabel("done, of the time to the deadline")
    axes.set_title("batches with deadlines that come late", fontsize=10)
    axes.legend(frameon=False, fontsize=9, loc="lower right")
