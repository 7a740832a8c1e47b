"""A measured number and its spread."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

REPEATS_MIN = 2
"""Below this there is no spread."""

Record = dict[str, Any]
"""A part of the record. What a machine does not have is left out, never 0."""


def figure(values: Sequence[float]) -> Record:
    """Median, least and greatest of at least `REPEATS_MIN` values."""
    if len(values) < REPEATS_MIN:
        raise ValueError(f"{len(values)} value(s) have no spread; measure {REPEATS_MIN} or more")
    return {
        "median": statistics.median(values),
        "min": min(values),
        "max": max(values),
        "count": len(values),
    }


def seconds_of(run: Callable[[], object], repeats: int) -> list[float]:
    """Wall time of `run`, which ends with its work, after one call that is not counted."""
    run()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        taken.append(time.perf_counter() - began)
    return taken
