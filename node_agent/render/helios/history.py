"""What a chunk sees of the frames before it, and how a checkpoint brings it back."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from node_agent.render.renderer import Checkpoint, CheckpointError, needed_negatives

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
    """(1, channels, 19, height / 8, width / 8), float32; zeros before the clip's beginning."""
    anchor: Tensor
    """(1, channels, 1, height / 8, width / 8), the clip's first latent frame; zeros in chunk 0."""
    chunks: int
    """Chunks rendered so far."""

    @classmethod
    def empty(cls, shape: LatentShape, device: torch.device) -> History:
        """Before chunk 0."""
        batch, channels, _, height, width = shape
        frames = torch.zeros(batch, channels, HISTORY_LATENT_FRAMES, height, width, device=device)
        return cls(frames, torch.zeros_like(frames[:, :, :1]), chunks=0)

    @classmethod
    def from_checkpoint(
        cls, checkpoint: Checkpoint, shape: LatentShape, device: torch.device
    ) -> History:
        """Before chunk `checkpoint.chunk`. Raises `CheckpointError` if negatives lack or misfit."""
        needed = needed_negatives(checkpoint.chunk)
        latents = {index: _latents(checkpoint, index, shape).to(device) for index in needed}
        recent = [latents[index] for index in needed if index >= checkpoint.chunk - 3]
        frames = torch.cat([cls.empty(shape, device).frames, *recent], dim=2)
        return cls(
            frames[:, :, -HISTORY_LATENT_FRAMES:].contiguous(),
            latents[0][:, :, :1].clone(),
            chunks=checkpoint.chunk,
        )

    def extended(self, latents: Tensor) -> History:
        """After a chunk: its latents join at the end, the oldest frames leave."""
        frames = torch.cat([self.frames, latents.float()], dim=2)
        return History(
            frames[:, :, -HISTORY_LATENT_FRAMES:].contiguous(),
            self.anchor if self.chunks else latents[:, :, :1].float().clone(),
            chunks=self.chunks + 1,
        )

    def inputs(self, dtype: torch.dtype) -> dict[str, Tensor]:
        """The transformer's arguments about history: latents and their places in time.

        Places are relative to the chunk: anchor 0, long 1..16, mid 17..18, short 19, chunk 20..28.
        """
        long, mid, short = torch.split(self.frames, [LONG, MID, SHORT], dim=2)
        spans = [1, LONG, MID, SHORT, CHUNK_LATENT_FRAMES]
        anchor_at, long_at, mid_at, short_at, chunk_at = torch.split(
            torch.arange(sum(spans)), spans
        )
        return {
            "latents_history_long": long.to(dtype),
            "latents_history_mid": mid.to(dtype),
            "latents_history_short": torch.cat([self.anchor, short], dim=2).to(dtype),
            "indices_latents_history_long": long_at.unsqueeze(0),
            "indices_latents_history_mid": mid_at.unsqueeze(0),
            "indices_latents_history_short": torch.cat([anchor_at, short_at]).unsqueeze(0),
            "indices_hidden_states": chunk_at.unsqueeze(0),
        }


def _latents(checkpoint: Checkpoint, index: int, shape: LatentShape) -> Tensor:
    negative = checkpoint.negatives.get(index)
    if negative is None:
        raise CheckpointError(
            f"resume at chunk {checkpoint.chunk} lacks the negative of chunk {index};"
            f" it needs those of {list(needed_negatives(checkpoint.chunk))}"
        )
    if negative.latents.shape != shape or negative.latents.dtype != np.float32:
        raise CheckpointError(
            f"negative of chunk {index}: {negative.latents.dtype} {negative.latents.shape},"
            f" the clip needs float32 {shape}"
        )
    return torch.from_numpy(negative.latents.copy())
