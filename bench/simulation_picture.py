"""How the cost of a simulation grows with the fleet, as a picture."""

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

BLUE, RED, GREY = "#4c72b0", "#c44e52", "#8c8c8c"


def draw(result: dict[str, Any], path: Path) -> None:
    """Seconds for a day, and milliseconds of a look at the yields, over the cards; into a PNG."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2))
    plan, exchanges = result["plan"], result["exchanges"]
    cards = [each["cards"] for each in plan]
    left.loglog(cards, [each["seconds"] for each in plan], "o-", color=BLUE, label="plan alone")
    left.loglog(
        [each["cards"] for each in exchanges],
        [24 * each["seconds"] / each["virtual_hours"] for each in exchanges],
        "s-", color=RED, label="every exchange, scaled to a day",
    )  # fmt: skip
    left.axhline(120, color=GREY, linestyle=":", label="120 s")
    left.set_ylabel("seconds for 24 simulated hours")
    for name, colour in (("median", BLUE), ("p99", RED)):
        values = [each[f"tick_ms_{name}"] for each in plan]
        right.loglog(cards, values, "o-", color=colour, label=name)
    right.axhline(100, color=GREY, linestyle=":", label="100 ms")
    right.set_ylabel("a look at who has to yield, ms")
    for axes in (left, right):
        axes.set_xlabel("cards")
        axes.legend(frameon=False, fontsize=9)
        axes.spines[["top", "right"]].set_visible(False)
    about = result["about"]
    figure.suptitle(
        f"a million open clips: {result['million']['bytes'] / 2**20:.0f} MiB  "
        f"({about['cpus']} cores, {about['date'][:10]})",
        fontsize=11,
    )
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
