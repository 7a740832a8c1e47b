"""Where the time of a clip goes, as a picture."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

KINDS = {
    "render child": "#c44e52",
    "agent": "#dd8452",
    "gateway": "#4c72b0",
    "coordinator": "#55a868",
    "ray": "#8172b3",
    "client": "#937860",
    "object store": "#8c8c8c",
    "pool": "#64b5cd",
}


def draw(result: dict[str, Any], path: Path) -> None:
    """CPU time per clip by kind of process, and wall time by phase, into a PNG."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.4), width_ratios=(3, 2))
    _cpu(left, result)
    _wall(right, result["fast"]["runs"][-1]["wall_ms_per_clip"])
    about = result["about"]
    figure.suptitle(
        f"{result['fast']['clips_per_second']:.1f} clips/s with a fast store, "
        f"{result['embedded']['clips_per_second']:.1f} with the embedded one, "
        f"{result['ray_data']['clips_per_second']:.1f} by Ray Data  "
        f"({about['cpus']} cores, {about['date'][:10]})",
        fontsize=11,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _cpu(axes: Axes, result: dict[str, Any]) -> None:
    """One bar for each way, stacked by kind of process."""
    bars = {
        "farm,\nfast store": result["fast"]["runs"][-1]["cpu_ms_per_clip"],
        "farm,\nembedded store": result["embedded"]["runs"][-1]["cpu_ms_per_clip"],
        "Ray Data,\npool alone": result["ray_data"]["runs"][-1]["cpu_ms_per_clip"],
    }
    for place, values in enumerate(bars.values()):
        bottom = 0.0
        for kind, colour in KINDS.items():
            value = values.get(kind, 0.0)
            if value < 0.05:
                continue
            label = kind if kind not in axes.get_legend_handles_labels()[1] else None
            axes.bar(place, value, 0.6, bottom, color=colour, label=label)
            if value > 2:
                axes.text(place, bottom + value / 2, f"{value:.0f}", ha="center", va="center")
            bottom += value
        axes.text(place, bottom, f"{bottom:.0f} ms", ha="center", va="bottom", weight="bold")
    axes.set_xticks(range(len(bars)), list(bars))
    axes.set_ylabel("CPU time per clip, ms")
    axes.legend(frameon=False, fontsize=9)
    axes.spines[["top", "right"]].set_visible(False)


def _wall(axes: Axes, phases: dict[str, float]) -> None:
    """Mean wall time of each phase; clips overlap, so they do not add up."""
    names = list(reversed(phases))
    axes.barh(names, [phases[name] for name in names], color=KINDS["gateway"])
    for place, name in enumerate(names):
        axes.text(phases[name], place, f" {phases[name]:.1f}", va="center", fontsize=9)
    axes.set_xlabel("mean wall time, ms (clips overlap)")
    axes.set_title("phases with the fast store", fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
