"""Makes farm/monitoring/grafana/*.json: the farm's dashboards, written in Python.

`make dashboards` writes them, and a test keeps what is committed equal to what this makes.
"""

from pathlib import Path
from typing import Final

from . import batches, cost, farm, fleet, storage
from .board import text

FOLDER: Final = Path(__file__).parents[2] / "farm" / "monitoring" / "grafana"

_MODULES: Final = (farm, fleet, batches, storage, cost)


def files() -> dict[str, str]:
    """File name → the dashboard as JSON."""
    return {f"{module.NAME}.json": text(module.board()) for module in _MODULES}
