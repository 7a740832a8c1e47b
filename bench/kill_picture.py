"""What a killed node costs, as a picture."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

TITLES = {
    "seconds": "wall time, s",
    "chunks_begun_again": "chunks begun again",
    "clips_without_a_take": "clips without a take",
}
COLOURS = {"Heliostat": "#dd8452", "Ray Data": "#64b5cd"}


def draw(result: dict[str, Any], path: Path) -> None:
    """Three figures of both, scenario by scenario: medians, with each run as a dot."""
    figure, axes = plt.subplots(1, len(TITLES), figsize=(11, 3.8))
    for place, (name, title) in enumerate(TITLES.items()):
        _bars(axes[place], result, name)
        axes[place].set_title(title, fontsize=10)
    axes[0].axhline(
        result["least_seconds_without_the_node"], color="#8c8c8c", linestyle=":", linewidth=1
    )
    about = result["about"]
    figure.suptitle(
        f"One of two nodes killed after half of {result['chunks']} chunks  "
        f"({about['cpus']} cores, {about['date'][:10]})",
        fontsize=11,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _bars(axes: Axes, result: dict[str, Any], name: str) -> None:
    names = []
    for scenario, found in result["scenarios"].items():
        for who, figures in found.items():
            place, value = len(names), figures[name]
            names.append(f"{who},\nnode {scenario}")
            if value is None:
                limit = result["seconds_max"]
                axes.bar(place, limit, 0.6, color=COLOURS[who], alpha=0.25, hatch="//")
                text, top = f"not ended\nin {limit:.0f}", limit
            else:
                axes.bar(place, value, 0.6, color=COLOURS[who])
                runs = [run[name] for run in figures["runs"] if run[name] is not None]
                axes.plot([place] * len(runs), runs, ".", color="#333333", markersize=4)
                text, top = f"{value:.0f}", max([value, *runs])
            axes.text(place, top, text, ha="center", va="bottom", fontsize=9)
    axes.set_xticks(range(len(names)), names, fontsize=8)
    axes.margins(y=0.15)
    axes.set_ylim(bottom=0)
    axes.spines[["top", "right"]].set_visible(False)
