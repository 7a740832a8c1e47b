"""The uneven work of `ray_data_kill.py`: the same for both, and how its chunks are counted."""

import os
import statistics
import time
from collections import Counter
from pathlib import Path
from typing import Any

from workload import SIDE, clip_row

CHUNK_FRAMES = 33
CHUNKS_MAX = 12
SLOTS_PER_NODE = 2
NODES = 2
KILL_SHARE = 0.5
"""A node is killed once this share of all chunks is in the store."""


def rows(clips: int) -> list[dict[str, str]]:
    """Clips of 1 to 12 chunks, in an order that mixes them."""
    found = []
    for number in range(clips):
        chunks = 1 + 7 * number % CHUNKS_MAX
        found.append({**clip_row(number), "frames": str(CHUNK_FRAMES * chunks)})
    return found


def chunks_of(row: dict[str, str]) -> int:
    """Chunks of a row."""
    return int(row["frames"]) // CHUNK_FRAMES


def least_seconds(chunks: int, seconds_per_chunk: float) -> float:
    """What it takes if rendering takes only its sleep: all slots until the kill, then one
    node's."""
    before, slots = KILL_SHARE * chunks, NODES * SLOTS_PER_NODE
    return seconds_per_chunk * (before / slots + (chunks - before) / (slots - SLOTS_PER_NODE))


class Journal:
    """What was begun and what was stored, one line each, from any process of this machine."""

    def __init__(self, path: str) -> None:
        self._path = path

    def write(self, what: str, clip: str, chunk: int = 0) -> None:
        """Add a line in one write: what is killed leaves whole lines."""
        line = f"{what} {clip} {chunk} {time.time():.3f}\n".encode()
        file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(file, line)
        finally:
            os.close(file)

    def read(self) -> list[tuple[str, str, int, float]]:
        """(what, clip, chunk, Unix seconds), in order."""
        path = Path(self._path)
        lines = path.read_text().splitlines() if path.exists() else []
        return [(a, b, int(c), float(d)) for a, b, c, d in map(str.split, lines)]


def begun_again(begun: Counter[Any]) -> int:
    """Chunks that were begun more than once, each time beyond the first."""
    return sum(count - 1 for count in begun.values())


def median_of(runs: list[dict[str, Any]], name: str) -> float | None:
    """The median of a figure; None where most runs have none."""
    values = sorted(float("inf") if run[name] is None else run[name] for run in runs)
    middle = statistics.median_low(values)
    return None if middle == float("inf") else middle


__all__ = ["SIDE", "Journal", "begun_again", "chunks_of", "least_seconds", "median_of", "rows"]
