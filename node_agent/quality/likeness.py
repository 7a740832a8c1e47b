"""How like two pictures are: PSNR, and SSIM as its authors define it.

PSNR in dB is 10 log10(peak² / MSE). SSIM is that of Z. Wang, A. C. Bovik, H. R. Sheikh, E. P.
Simoncelli, *Image Quality Assessment: From Error Visibility to Structural Similarity*, IEEE
Transactions on Image Processing 13(4), 2004, equation 13, with their window (11x11, circular
Gaussian, standard deviation 1.5) and constants (K1 = 0.01, K2 = 0.03), over the windows that lie
whole in the picture, without their scaling down. Of luma (BT.709's weights, full range).
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from node_agent.quality.colours import Plane, sum_of
from node_agent.quality.signals import LEVELS

WINDOW: Final = 11
"""Side of SSIM's window, pixels."""
_SIGMA: Final = 1.5
_C1, _C2 = (0.01 * LEVELS) ** 2, (0.03 * LEVELS) ** 2
_LUMA: Final = np.array([0.2126, 0.7152, 0.0722])

Floats = npt.NDArray[np.floating[Any]]


def squares(one: Plane, other: Plane) -> int:
    """The exact sum of the squared differences of two arrays of one shape, in levels²."""
    difference = one.astype(np.int32) - other
    return sum_of(difference * difference)


def psnr_db(mean_square: float, peak: float = LEVELS) -> float | None:
    """Peak signal to noise ratio, dB; None where nothing differs."""
    return 10 * math.log10(peak * peak / mean_square) if mean_square else None


def ssim(one: Plane, other: Plane) -> float:
    """Structural similarity of two pictures, (height, width, 3) RGB, -1..1; 1 is equal.

    Raises ValueError for pictures smaller than the window, or of two sizes.
    """
    if one.shape != other.shape or min(one.shape[:2]) < WINDOW:
        raise ValueError(f"no SSIM of pictures of {one.shape} and {other.shape}")
    x, y = one @ _LUMA, other @ _LUMA
    mean_x, mean_y, xx, yy, xy = _windowed(np.stack((x, y, x * x, y * y, x * y)))
    both = mean_x * mean_y
    squared = mean_x * mean_x + mean_y * mean_y
    luminance = (2 * both + _C1) / (squared + _C1)
    structure = (2 * (xy - both) + _C2) / (xx + yy - squared + _C2)
    return float((luminance * structure).mean())


def _windowed(planes: Floats) -> Floats:
    """Weighted means of (planes, height, width) over each window; it is separable."""
    offsets = np.arange(WINDOW) - WINDOW // 2
    weights = np.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights /= weights.sum()
    for axis in (1, 2):
        length = planes.shape[axis] - WINDOW + 1
        views = [planes[(slice(None),) * axis + (slice(i, i + length),)] for i in range(WINDOW)]
        means = views[0] * weights[0]
        for weight, view in zip(weights[1:], views[1:], strict=True):
            means += weight * view
        planes = means
    return planes
