"""The clips that are rendered: the smallest there are, with real prompts."""

import csv
from functools import cache
from pathlib import Path

PROMPTS = Path(__file__).resolve().parents[1] / "examples" / "heliosbench_t2v.csv"
FRAMES = 33
"""One chunk."""
SIDE = 64


@cache
def _prompts() -> list[str]:
    with PROMPTS.open(newline="", encoding="utf-8") as file:
        return [row["prompt"] for row in csv.DictReader(file)]


def clip_row(number: int) -> dict[str, str]:
    """A row of a submission."""
    prompts = _prompts()
    return {
        "id": f"clip-{number:06}",
        "prompt": prompts[number % len(prompts)],
        "frames": str(FRAMES),
        "size": f"{SIDE}x{SIDE}",
    }
