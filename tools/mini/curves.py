"""Loss curves of a training, as SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from html import escape
from pathlib import Path

from .learner import read_tensors
from .stages import STAGES

WIDTH, HEIGHT, LEFT, TOP, BELOW = 300, 160, 44, 24, 22


def curves(directory: Path) -> str:
    """A panel for each stage that has begun, its loss on a logarithmic scale."""
    panels: list[str] = []
    for stage in STAGES:
        path = directory / f"{stage}.safetensors"
        if path.exists():
            _, told = read_tensors(path)
            panels.append(_panel(stage, json.loads(told["losses"]), len(panels) * WIDTH))
    body = "\n".join(panels)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH * len(panels)} {HEIGHT}"'
        f' font-family="sans-serif" font-size="11">\n'
        f'<rect width="100%" height="100%" fill="white"/>\n{body}\n</svg>\n'
    )


def _panel(stage: str, losses: Sequence[tuple[int, float]], left: float) -> str:
    points = [(step, math.log10(max(loss, 1e-6))) for step, loss in losses]
    if not points:
        return ""
    low, high = min(y for _, y in points), max(y for _, y in points)
    last = max(step for step, _ in points)
    x0, x1 = left + LEFT, left + WIDTH - 10
    y0, y1 = HEIGHT - BELOW, TOP

    def at(step: float, loss: float) -> tuple[float, float]:
        return (
            x0 + (x1 - x0) * step / last,
            y0 + (y1 - y0) * (loss - low) / max(1e-9, high - low),
        )

    placed = [at(step, loss) for step, loss in points]
    line = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    return (
        f'<text x="{x0}" y="14">{escape(stage)}: loss by step</text>'
        f'<path d="M{x0} {y1}V{y0}H{x1}" fill="none" stroke="#888"/>'
        f'<polyline points="{line}" fill="none" stroke="#1b6ca8"/>'
        f'<text x="{x0 - 4}" y="{y1 + 8}" text-anchor="end">{10**high:.3g}</text>'
        f'<text x="{x0 - 4}" y="{y0}" text-anchor="end">{10**low:.3g}</text>'
        f'<text x="{x1}" y="{HEIGHT - 6}" text-anchor="end">{last:,}</text>'
    )
