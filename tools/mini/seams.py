"""How a clip holds together: the jump where chunks meet, the drift from first to last."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from .judge import CHUNK_FRAMES, Shown
from .world import Pictures


def seam_jump(pictures: Pictures) -> float:
    """Difference from frame to frame where chunks meet, by that inside of chunks; 1 is smooth.

    Mean over seams and over all other pairs of frames; not a number for a clip of one chunk or a
    clip that stands still.
    """
    frames = pictures.astype(np.float32)
    steps = np.array([np.abs(after - before).mean() for before, after in pairwise(frames)])
    seams = np.arange(1, len(frames)) % CHUNK_FRAMES == 0
    if not seams.any() or not steps[~seams].mean() > 0:
        return float("nan")
    return float(steps[seams].mean() / steps[~seams].mean())


def drift(first: Shown, last: Shown) -> tuple[float, float]:
    """How far ground and shape have changed their colour, as distances in RGB of 0 to 441.

    The shape's is not a number where either chunk shows none.
    """
    ground = float(np.linalg.norm(np.subtract(first.ground_rgb, last.ground_rgb)))
    if first.colour_rgb is None or last.colour_rgb is None:
        return ground, float("nan")
    return ground, float(np.linalg.norm(np.subtract(first.colour_rgb, last.colour_rgb)))
