"""The meter: a clip's frames go in one by one, its signals come out. Its memory does not grow."""

from __future__ import annotations

import math
from collections import deque
from typing import Final

import numpy as np

from node_agent.quality.colours import Colours, Plane, colours_of, mean, sample, sum_of
from node_agent.quality.signals import KEY_FRAME_LEVELS, LEVELS, Signals
from node_agent.render.renderer import CHUNK_FRAMES

STILL_LEVELS: Final = 0.1
"""Mean difference up to which a frame repeats the one before. Re-encoding a still picture gives
0.05 at most; a pan by a twentieth of a pixel gives 0.2 and more."""
STILL_LEVELS_MAX: Final = 16
"""Difference of any one sample up to which it does: a small thing that moves is not frozen."""

_DIGITS = 6


class SignalMeter:
    """Takes a clip's frames one by one, in order. Pure: no file, no clock, no chance."""

    def __init__(self, chunk_frames: int = CHUNK_FRAMES) -> None:
        self._chunk_frames = chunk_frames
        self._frames = 0
        self._before: Plane | None = None
        self._inside = _Mean()
        self._seams = _Mean()
        self._worst = (0.0, 0)
        self._black = _Run()
        self._frozen = _Run()
        self._edge = _Mean()
        self._first: list[Colours] = []
        self._last: deque[Colours] = deque(maxlen=chunk_frames)

    def add(self, frame: Plane) -> None:
        """Count the next frame, (height, width, 3) RGB, of the same size as those before."""
        planes = sample(frame)
        colours, is_black = colours_of(planes)
        is_frozen = self._compare(planes) and not is_black
        self._black.add(is_black)
        self._frozen.add(is_frozen)
        self._edge.add(colours.edge)
        if len(self._first) < self._chunk_frames:
            self._first.append(colours)
        self._last.append(colours)
        self._before = planes
        self._frames += 1

    def _compare(self, planes: Plane) -> bool:
        """Count the difference from the frame before; whether this one repeats it."""
        if self._before is None:
            return False
        change = np.maximum(planes, self._before) - np.minimum(planes, self._before)
        levels = sum_of(change) / change.size
        if self._frames % self._chunk_frames:
            self._inside.add(levels)
            return levels <= STILL_LEVELS and int(change.max()) <= STILL_LEVELS_MAX
        self._seams.add(levels)
        self._worst = max(self._worst, (levels, self._frames // self._chunk_frames))
        return self._frozen.length > 0 and levels <= KEY_FRAME_LEVELS

    def result(self) -> Signals:
        """The signals of all frames so far. Raises ValueError when there were none."""
        if not self._frames:
            raise ValueError("a clip without frames has no signals")
        inside, seams = self._inside.value, self._seams.value
        has_seams = bool(inside) and seams is not None
        worst, chunk = self._worst
        ends = self._ends()
        return Signals(
            frame_difference=_rounded(inside, LEVELS),
            seam_flicker=_rounded(seams, inside) if has_seams else None,
            seam_flicker_worst=_rounded(worst, inside) if has_seams else None,
            seam_worst_chunk=chunk if has_seams else None,
            black_frames=self._black.total,
            black_frames_longest=self._black.longest,
            frozen_frames=self._frozen.total,
            frozen_frames_longest=self._frozen.longest,
            over_saturation=round(self._edge.value or 0.0, _DIGITS),
            **_drift(*ends) if ends else {},
        )

    def _ends(self) -> tuple[Colours, Colours] | None:
        """The colours of the clip's beginning and of its end; None for one chunk."""
        if self._frames <= self._chunk_frames:
            return None
        count = min(self._chunk_frames, self._frames // 2)
        return mean(self._first[:count]), mean(list(self._last)[-count:])


class _Mean:
    """A mean of numbers that come one by one."""

    def __init__(self) -> None:
        self._sum, self._count = 0.0, 0

    def add(self, value: float) -> None:
        self._sum += value
        self._count += 1

    @property
    def value(self) -> float | None:
        return self._sum / self._count if self._count else None


class _Run:
    """Counts frames that have something, and the longest run of them."""

    def __init__(self) -> None:
        self.total, self.longest, self.length = 0, 0, 0

    def add(self, has_it: bool) -> None:
        self.length = self.length + 1 if has_it else 0
        self.total += has_it
        self.longest = max(self.longest, self.length)


def _rounded(value: float | None, whole: float | None) -> float | None:
    return None if value is None or not whole else round(value / whole, _DIGITS)


def _drift(begin: Colours, end: Colours) -> dict[str, float]:
    """The signals that compare a clip's end with its beginning."""
    channels = (end.red - begin.red, end.green - begin.green, end.blue - begin.blue)
    colour = math.hypot(*channels) / math.sqrt(len(channels)) / LEVELS
    contrast = (end.contrast - begin.contrast) / LEVELS
    saturation = (end.chroma - begin.chroma) / LEVELS
    values = {
        "over_saturation_growth": end.edge - begin.edge,
        "drift": math.hypot(colour, contrast, saturation),
        "drift_colour": colour,
        "drift_contrast": contrast,
        "drift_saturation": saturation,
    }
    return {name: round(value, _DIGITS) for name, value in values.items()}
