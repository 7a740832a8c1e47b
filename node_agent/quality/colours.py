"""Statistics of one frame's colours.

Every `stride`-th pixel of every `stride`-th row is looked at, so that `SAMPLES` to four times as
many count for each frame, whatever its size; of 384x640 it is every second one. All sums are of
whole numbers, so that the same pixels give the same statistics everywhere.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

SAMPLES: Final = 320 * 192
"""Pixels of a frame that are looked at, at least, where the frame has as many."""
BLACK_LEVEL: Final = 25
"""Luma up to a tenth of the range is near-black; the convention of ffmpeg's `blackdetect`."""
BLACK_SHARE: Final = 0.98
"""Share of a near-black frame's pixels that are near-black; from the same place."""
EDGE_LEVEL: Final = 191
"""Three quarters of the range: what an over-saturated pixel's largest channel has at least."""

Plane = npt.NDArray[np.uint8]
"""Any shape, 0..255."""


@dataclass(frozen=True, slots=True)
class Colours:
    """Statistics of a frame, or their means over several."""

    red: float
    green: float
    blue: float
    contrast: float
    """Standard deviation of luma. All up to here in levels."""
    chroma: float
    """Mean of max - min over the channels, in levels."""
    edge: float
    """Share of over-saturated pixels."""


def sample(frame: Plane) -> Plane:
    """Of a frame, (height, width, 3) RGB, the pixels that count, as planes: (3, rows, columns)."""
    stride = max(1, math.isqrt(frame.shape[0] * frame.shape[1] // SAMPLES))
    return np.ascontiguousarray(frame[::stride, ::stride].transpose(2, 0, 1))


def colours_of(planes: Plane) -> tuple[Colours, bool]:
    """The statistics of a frame as sampled, and whether it is near-black."""
    red, green, blue = planes
    pixels = red.size
    high = np.maximum(np.maximum(red, green), blue)
    chroma = high - np.minimum(np.minimum(red, green), blue)
    # BT.709's weights in parts of 256: 0.2126, 0.7152, 0.0722
    luma = red * np.uint16(54) + green * np.uint16(183) + blue * np.uint16(19) >> 8
    wide = luma.astype(np.uint32)
    mean = sum_of(luma) / pixels
    variance = sum_of(wide * wide) / pixels - mean * mean
    edge = (chroma * np.uint16(10) >= high * np.uint16(9)) & (high >= EDGE_LEVEL)
    colours = Colours(
        red=sum_of(red) / pixels,
        green=sum_of(green) / pixels,
        blue=sum_of(blue) / pixels,
        contrast=math.sqrt(max(0.0, variance)),
        chroma=sum_of(chroma) / pixels,
        edge=int(np.count_nonzero(edge)) / pixels,
    )
    black = int(np.count_nonzero(luma <= BLACK_LEVEL))
    return colours, black >= BLACK_SHARE * pixels


def mean(frames: Sequence[Colours]) -> Colours:
    """The mean of one frame or more, statistic by statistic."""
    sums = [sum(column) for column in zip(*map(astuple, frames), strict=True)]
    return Colours(*(total / len(frames) for total in sums))


def sum_of(values: npt.NDArray[Any]) -> int:
    """The exact sum of whole numbers."""
    return int(values.sum(dtype=np.uint64))
