"""Flow matching over the three-stage pyramid, as Distilled and Mid render it.

A stage goes along a straight line from a coarser picture with more noise to its own with less
(pyramidal flow matching, arXiv 2410.05954); sigma is 1 where it begins and 0 where it ends.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch.nn.functional as F  # noqa: N812 - torch's own custom
from diffusers import HeliosDMDScheduler
from diffusers.pipelines.helios.pipeline_helios import calculate_shift
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Line:
    """A stage's line for some clips, up to their noise: each tensor is of the stage's size."""

    coarse: Tensor
    """What is left of the clean latents in the stage before, enlarged."""
    clean: Tensor
    """Clean latents."""
    start: float
    """Share of noise where the stage begins."""
    end: float
    """The same where it ends: 0 in the last one."""

    def at(self, sigma: Tensor, noise: Tensor) -> Tensor:
        """Latents on the line; `sigma` is (clips, 1, 1, 1, 1)."""
        return sigma * self._first(noise) + (1 - sigma) * self._last(noise)

    def velocity(self, noise: Tensor) -> Tensor:
        """From its end to its beginning."""
        return self._first(noise) - self._last(noise)

    def _first(self, noise: Tensor) -> Tensor:
        return (1 - self.start) * self.coarse + self.start * noise

    def _last(self, noise: Tensor) -> Tensor:
        return (1 - self.end) * self.clean + self.end * noise


@cache
def build_schedule() -> Any:
    """The schedule of a Distilled model."""
    return HeliosDMDScheduler(use_dynamic_shifting=True)


def line(schedule: Any, stage: int, latents: Tensor) -> Line:
    """The line of a stage (0 is the coarsest) for clean latents of full size."""
    stages: int = schedule.config.stages
    clean = latents
    for _ in range(stages - 1 - stage):
        clean = halved(clean)
    coarse = clean if stage == 0 else _doubled(halved(clean))
    return Line(coarse, clean, schedule.start_sigmas[stage], schedule.end_sigmas[stage])


def time_of(schedule: Any, stage: int, sigma: Tensor) -> Tensor:
    """What the transformer is told for `sigma` within a stage."""
    times = schedule.timesteps_per_stage[stage]
    low, high = float(times.min()), float(times.max())
    return low + sigma * (high - low)


def shifted(spread: Tensor, stage: int, stages: int, size: int) -> Tensor:
    """Evenly spread sigmas as the pipeline shifts them in a stage; Base has a single one.

    It counts tokens before a stage enlarges its latents.
    """
    side = size // 16 // 2 ** (stages - 1 - max(0, stage - 1))
    shift = math.exp(calculate_shift(9 * side * side, 256, 4096, 0.5, 1.15))
    return towards_noise(spread, shift)


def towards_noise(spread: Tensor, shift: float) -> Tensor:
    """Numbers of 0 to 1, nearer to 1 by a shift above 1 (arXiv 2403.03206, equation 23)."""
    return shift * spread / (1 + (shift - 1) * spread)


def halved(latents: Tensor) -> Tensor:
    """Height and width halved: the mean of four."""
    return _each_frame(latents, lambda frames: F.avg_pool2d(frames, 2))


def _doubled(latents: Tensor) -> Tensor:
    return _each_frame(latents, lambda frames: F.interpolate(frames, scale_factor=2))


def _each_frame(latents: Tensor, change: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply to every latent frame of (clips, channels, frames, height, width) on its own."""
    clips, frames = latents.shape[0], latents.shape[2]
    changed = change(latents.transpose(1, 2).flatten(0, 1))
    return changed.reshape(clips, frames, *changed.shape[1:]).transpose(1, 2)
