"""How like two renders of a clip are: their chunks go in, one after another; PSNR, SSIM and drift
come out. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import mul
from statistics import linear_regression

from node_agent.quality.likeness import Floats, psnr_db, squares, ssim
from node_agent.quality.meter import SignalMeter
from node_agent.quality.signals import Signals
from node_agent.render.renderer import Frames


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkLikeness:
    """The second clip's chunk beside the first's. A PSNR is None where nothing differs."""

    chunk: int
    frames: int
    psnr_db: float | None
    """Over all pixels and channels of the chunk."""
    ssim: float
    """Mean over its frames."""
    brightness_levels: float
    """Mean of second less first, over pixels and channels: how much brighter it is."""
    latents_psnr_db: float | None = None
    """Of the negatives; the peak is the range (max - min) of the first clip's. None also where
    there are none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipLikeness:
    """The same over a whole clip."""

    psnr_db: float | None
    psnr_db_min: float | None
    """Of the worst chunk."""
    psnr_drift_db_per_chunk: float | None
    """Slope of the line that fits the chunks' PSNR best (least squares): below 0 where the clips
    grow apart. None with fewer than two chunks that differ."""
    ssim: float
    ssim_min: float
    """Of the worst chunk."""
    brightness_levels: float
    latents_psnr_db: float | None
    chunks: tuple[ChunkLikeness, ...]
    signals: tuple[Signals, Signals]
    """What each clip's pixels tell by themselves; `drift` is from its beginning to its end."""


class ClipMeter:
    """Takes two clips' chunks, one after another. Its memory does not grow with them."""

    def __init__(self) -> None:
        self._chunks: list[ChunkLikeness] = []
        self._pixels = _Error()
        self._latents = _Error()
        self._signals = (SignalMeter(), SignalMeter())

    def add(
        self, one: Frames, other: Frames, latents: tuple[Floats, Floats] | None = None
    ) -> ChunkLikeness:
        """The next chunk of both: frames (frames, height, width, 3) RGB, and what they came from.

        Raises ValueError where their shapes differ.
        """
        if one.shape != other.shape:
            raise ValueError(f"chunks of {one.shape} and {other.shape} cannot be compared")
        pixels, of_latents = _Error(), _Error()
        pixels.add(sum(squares(*pair) for pair in zip(one, other, strict=True)), one.size)
        if latents is not None:
            first, second = (each.astype(float) for each in latents)
            square = float(((first - second) ** 2).sum())
            of_latents.add(square, first.size, float(first.min()), float(first.max()))
        brighter = other.mean(dtype=float) - one.mean(dtype=float)
        found = ChunkLikeness(
            chunk=len(self._chunks),
            frames=len(one),
            psnr_db=pixels.psnr_db,
            ssim=_mean(ssim(*pair) for pair in zip(one, other, strict=True)),
            brightness_levels=float(brighter),
            latents_psnr_db=of_latents.psnr_over_range_db,
        )
        for meter, frames in zip(self._signals, (one, other), strict=True):
            for frame in frames:
                meter.add(frame)
        self._pixels.join(pixels)
        self._latents.join(of_latents)
        self._chunks.append(found)
        return found

    def result(self) -> ClipLikeness:
        """Of all chunks so far. Raises ValueError when there were none."""
        one, other = self._signals
        chunks = self._chunks
        signals = (one.result(), other.result())
        weights = [chunk.frames for chunk in chunks]
        return ClipLikeness(
            psnr_db=self._pixels.psnr_db,
            psnr_db_min=min(_known(c.psnr_db for c in chunks), default=None),
            psnr_drift_db_per_chunk=slope([c.psnr_db for c in chunks]),
            ssim=_mean((c.ssim for c in chunks), weights),
            ssim_min=min(c.ssim for c in chunks),
            brightness_levels=_mean((c.brightness_levels for c in chunks), weights),
            latents_psnr_db=self._latents.psnr_over_range_db,
            chunks=tuple(chunks),
            signals=signals,
        )


@dataclass(frozen=True, slots=True)
class Spread:
    """A figure over clips."""

    mean: float
    min: float


SUMMED = ("psnr_db", "psnr_db_min", "psnr_drift_db_per_chunk", "ssim", "latents_psnr_db")
"""Figures of clips that a summary has."""


def summary(clips: Sequence[ClipLikeness]) -> dict[str, Spread]:
    """By name; without what no clip has. Clips without a figure do not count in it."""
    figures = {name: _known(getattr(clip, name) for clip in clips) for name in SUMMED}
    return {name: Spread(_mean(values), min(values)) for name, values in figures.items() if values}


def slope(values: Sequence[float | None]) -> float | None:
    """Of the least-squares line through values that are one apart; None is a gap."""
    points = [(number, value) for number, value in enumerate(values) if value is not None]
    if len(points) < 2:
        return None
    return float(linear_regression(*zip(*points, strict=True)).slope)


class _Error:
    """A sum of squared differences, and the range of what they are measured by."""

    def __init__(self) -> None:
        self._squares: float = 0
        self._count = 0
        self._low, self._high = math.inf, -math.inf

    def add(self, total: float, count: int, low: float = math.inf, high: float = -math.inf) -> None:
        self._squares += total
        self._count += count
        self._low, self._high = min(self._low, low), max(self._high, high)

    def join(self, other: _Error) -> None:
        self.add(other._squares, other._count, other._low, other._high)

    @property
    def psnr_db(self) -> float | None:
        return psnr_db(self._squares / self._count) if self._count else None

    @property
    def psnr_over_range_db(self) -> float | None:
        return psnr_db(self._squares / self._count, self._high - self._low) if self._count else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _mean(values: Iterable[float], weights: Sequence[float] | None = None) -> float:
    known = list(values)
    of_each = weights or [1.0] * len(known)
    return float(sum(map(mul, known, of_each)) / sum(of_each))
