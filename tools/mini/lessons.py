"""What the transformer learns in a step: chunks, what came before them, and captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from node_agent.render.helios.history import HISTORY_LATENT_FRAMES, History, Memory

from .captions import caption
from .shards import CHUNKS, Shard

FROM_TEXT, FROM_PICTURE = 0.4, 0.1
"""Shares of lessons that begin with nothing, and with a picture; all others go on."""
SWITCHED = 0.15
"""Share of those that go on where the caption has just changed, or a chunk or two ago."""
UNTOLD = 0.1
"""Share without a caption, for guidance."""
CLEAN = 0.3
"""Share whose history is without noise; others have up to `NOISE_MAX` of it in every frame."""
NOISE_MAX = 0.3
PICTURE_NOISE = (0.0, 0.2)
"""Around what a clip's picture gets when it is rendered (0.111 to 0.135)."""


@dataclass(frozen=True, slots=True)
class Lesson:
    """A batch."""

    targets: Tensor
    """(clips, channels, 9, height, width): clean latents."""
    memory: Memory
    captions: list[str]


def lesson(
    shards: Sequence[Shard], batch: int, rng: np.random.Generator, generator: torch.Generator
) -> Lesson:
    """Draw a batch."""
    rows = [_row(shards[int(rng.integers(len(shards)))], rng, generator) for _ in range(batch)]
    return Lesson(
        targets=torch.stack([target for target, _, _ in rows]),
        memory=Memory.of([history for _, history, _ in rows], torch.float32),
        captions=[told for _, _, told in rows],
    )


def _row(
    shard: Shard, rng: np.random.Generator, generator: torch.Generator
) -> tuple[Tensor, History, str]:
    one = int(rng.integers(len(shard.contents)))
    chunks = shard.chunks[one]
    told = "" if rng.random() < UNTOLD else caption(shard.contents[one], rng)
    kind = rng.random()
    if kind < FROM_TEXT:
        empty = torch.zeros(1, chunks.shape[1], HISTORY_LATENT_FRAMES, *chunks.shape[3:])
        return chunks[0], History(empty, None, 0), told
    if kind < FROM_TEXT + FROM_PICTURE:
        history = _padded(_noised(shard.stills[one], PICTURE_NOISE, rng, generator))
        anchor = _noised(chunks[0, :, :1], PICTURE_NOISE, rng, generator)
        return chunks[0], History(history[None], anchor[None], 0), told
    chunk = int(rng.integers(1, CHUNKS))
    before = chunks[:chunk]
    if rng.random() < SWITCHED:
        since = int(rng.integers(max(1, chunk - 2), chunk + 1))
        before = torch.cat([shard.chunks[one ^ 1, :since], before[since:]])
    strength = (0.0, 0.0 if rng.random() < CLEAN else float(rng.uniform(0, NOISE_MAX)))
    seen = torch.cat([*before], dim=1)[:, -HISTORY_LATENT_FRAMES:]
    history = _padded(_noised(seen, strength, rng, generator))
    anchor = _noised(before[0, :, :1], strength, rng, generator)
    return chunks[chunk], History(history[None], anchor[None], chunk), told


def _padded(frames: Tensor) -> Tensor:
    """(channels, 19, height, width), zeros where nothing came before."""
    channels, known, *size = frames.shape
    empty = torch.zeros(channels, HISTORY_LATENT_FRAMES - known, *size)
    return torch.cat([empty, frames], dim=1)


def _noised(
    frames: Tensor,
    bounds: tuple[float, float],
    rng: np.random.Generator,
    generator: torch.Generator,
) -> Tensor:
    """Each frame with a strength of noise of its own within `bounds`."""
    strength = torch.from_numpy(rng.uniform(*bounds, frames.shape[1])).float().view(1, -1, 1, 1)
    return (1 - strength) * frames + strength * torch.randn(frames.shape, generator=generator)
