"""What a chunk sees of the frames before it, and how a checkpoint brings it back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from node_agent.render.renderer import (
    Checkpoint,
    CheckpointError,
    Latents,
    Negative,
    needed_negatives,
)

CHUNK_LATENT_FRAMES = 9
"""33 video frames: the first one, then eight times four."""

LONG, MID, SHORT = 16, 2, 1
"""Latent frames of history by resolution of the transformer's memory, oldest first."""

HISTORY_LATENT_FRAMES = LONG + MID + SHORT

LatentShape = tuple[int, int, int, int, int]
"""(1, channels, 9, height / 8, width / 8): one chunk's latents."""


@dataclass(frozen=True, slots=True)
class History:
    """The last 19 latent frames and the anchor; a new one for every chunk, never longer."""

    frames: Tensor
    """(1, channels, 19, height / 8, width / 8), float32; zeros where nothing came before."""
    anchor: Tensor | None
    """(1, channels, 1, height / 8, width / 8), the first latent frame of the clip, or of the image
    or video that it starts from; None before the chunk that will give it."""
    chunks: int
    """Chunks rendered so far."""

    @classmethod
    def beginning(
        cls,
        shape: LatentShape,
        device: torch.device,
        *,
        before: Tensor | None = None,
        anchor: Tensor | None = None,
    ) -> History:
        """Before chunk 0. `before` are latent frames that an image or video puts there."""
        batch, channels, _, height, width = shape
        frames = torch.zeros(batch, channels, HISTORY_LATENT_FRAMES, height, width, device=device)
        if before is not None:
            frames = torch.cat([frames, before], dim=2)[:, :, -HISTORY_LATENT_FRAMES:].contiguous()
        return cls(frames, anchor, chunks=0)

    @classmethod
    def from_checkpoint(
        cls,
        checkpoint: Checkpoint,
        shape: LatentShape,
        device: torch.device,
        *,
        skip_first_chunk: bool = False,
    ) -> History:
        """Before chunk `checkpoint.chunk`. Raises `CheckpointError` if negatives lack or misfit."""
        needed = needed_negatives(checkpoint.chunk, skip_first_chunk=skip_first_chunk)
        negatives = {index: _negative(checkpoint, index, needed, shape) for index in needed}
        first = negatives[0]
        if skip_first_chunk and checkpoint.chunk > 1:
            anchor = negatives[1].latents[:, :, :1]
        else:
            anchor = first.latents[:, :, :1] if first.anchor is None else first.anchor
        recent = [negatives[index].latents for index in needed if index >= checkpoint.chunk - 3]
        if first.before is not None and checkpoint.chunk < 3:
            recent.insert(0, first.before)
        older = cls.beginning(shape, device).frames
        frames = torch.cat([older, *(_tensor(each, device) for each in recent)], dim=2)
        return cls(
            frames[:, :, -HISTORY_LATENT_FRAMES:].contiguous(),
            _tensor(anchor, device),
            chunks=checkpoint.chunk,
        )

    def extended(self, latents: Tensor, *, skip_first_chunk: bool = False) -> History:
        """After a chunk: its latents join at the end, the oldest frames leave."""
        frames = torch.cat([self.frames, latents.float()], dim=2)
        is_new_anchor = self.anchor is None or (skip_first_chunk and self.chunks == 1)
        return History(
            frames[:, :, -HISTORY_LATENT_FRAMES:].contiguous(),
            latents[:, :, :1].float().clone() if is_new_anchor else self.anchor,
            chunks=self.chunks + 1,
        )


@dataclass(frozen=True, slots=True)
class Memory:
    """The transformer's arguments about the history of some lanes."""

    history: dict[str, tuple[Tensor, Tensor]]
    """`short`, `mid`, `long`: latents (lanes, channels, frames, height, width), and their places.

    Places in time are relative to the chunk: anchor 0, long 1..16, mid 17..18, short 19."""
    chunk_at: Tensor
    """The chunk's places: 20..28."""

    @classmethod
    def of(cls, lanes: Sequence[History], dtype: torch.dtype) -> Memory:
        """What the next chunks of `lanes` see."""
        frames = torch.cat([lane.frames for lane in lanes])
        anchors = torch.cat(
            [
                torch.zeros_like(lane.frames[:, :, :1]) if lane.anchor is None else lane.anchor
                for lane in lanes
            ]
        )
        long, mid, short = torch.split(frames, [LONG, MID, SHORT], dim=2)
        spans = [1, LONG, MID, SHORT, CHUNK_LATENT_FRAMES]
        anchor_at, long_at, mid_at, short_at, chunk_at = torch.split(
            torch.arange(sum(spans), device=frames.device).unsqueeze(0), spans, dim=1
        )
        return cls(
            {
                "short": (
                    torch.cat([anchors, short], dim=2).to(dtype),
                    torch.cat([anchor_at, short_at], dim=1),
                ),
                "mid": (mid.to(dtype), mid_at),
                "long": (long.to(dtype), long_at),
            },
            chunk_at,
        )

    def kept(self, rows: list[int]) -> Memory:
        """Of some of the lanes only."""
        history = {kind: (latents[rows], at) for kind, (latents, at) in self.history.items()}
        return Memory(history, self.chunk_at)


def _negative(
    checkpoint: Checkpoint, index: int, needed: tuple[int, ...], shape: LatentShape
) -> Negative:
    negative = checkpoint.negatives.get(index)
    if negative is None:
        raise CheckpointError(
            f"resume at chunk {checkpoint.chunk} lacks the negative of chunk {index};"
            f" it needs those of {list(needed)}"
        )
    if negative.latents.shape != shape or negative.latents.dtype != np.float32:
        raise CheckpointError(
            f"negative of chunk {index}: {negative.latents.dtype} {negative.latents.shape},"
            f" the clip needs float32 {shape}"
        )
    return negative


def _tensor(latents: Latents, device: torch.device) -> Tensor:
    """A copy: what a negative holds is its owner's."""
    return torch.from_numpy(latents.copy()).to(device)
