"""Scenes as latents, encoded once, in files that are made again from the seed where they are gone.

Scenes come in pairs that differ in the shape's colour alone: so training can show a change of
prompt in the middle of a clip.
"""

from __future__ import annotations

import json
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKLWan
from torch import Tensor

from .captions import Content, training_scene
from .judge import CHUNK_FRAMES
from .learner import numbers, read_tensors, write_tensors
from .plan import Plan
from .vae import encode, to_video
from .world import Scene, draw, recoloured

STAGE = 2
"""Of the random numbers."""
CHUNKS = 5
"""Of a scene: three that fill a chunk's history, and more."""
STILL_FRAMES = 17
"""Of the first picture standing still; the last latent of more of them is hardly another."""


@dataclass(frozen=True, slots=True)
class Shard:
    """Some pairs of scenes; rows 2n and 2n + 1 are a pair."""

    chunks: Tensor
    """(scenes, chunks, channels, 9, height / 8, width / 8), normalised."""
    stills: Tensor
    """(scenes, channels, 1, height / 8, width / 8): the end of frame 0 standing still."""
    contents: list[Content]


class Shards:
    """The shards of a training; the next one is encoded while the last ones are learned from."""

    def __init__(self, vae: AutoencoderKLWan, plan: Plan, folder: Path) -> None:
        self._vae, self._plan, self._folder = vae, plan, folder
        self._pool = ThreadPoolExecutor(1)
        self._shards: list[Shard] = []
        self._next: Future[Shard] | None = None

    def upto(self, count: int) -> list[Shard]:
        """The first `count` shards; waits for those that are not there yet."""
        count = min(count, self._plan.shards_max)
        while len(self._shards) < count:
            self._order()
            if self._next is not None:
                self._shards.append(self._next.result())
                self._next = None
        self._order()
        return self._shards[:count]

    def close(self) -> None:
        """Let go of the thread; what it is at is finished and kept."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _order(self) -> None:
        if self._next is None and len(self._shards) < self._plan.shards_max:
            self._next = self._pool.submit(self._shard, len(self._shards))

    def _shard(self, number: int) -> Shard:
        path = self._folder / f"{number:04}.safetensors"
        if not path.exists():
            write_tensors(path, *self._made(number))
        tensors, told = read_tensors(path)
        contents: list[Content] = [tuple(each) for each in json.loads(told["contents"])]
        return Shard(tensors["chunks"].float(), tensors["stills"].float(), contents)

    @torch.no_grad()
    def _made(self, number: int) -> tuple[dict[str, Tensor], dict[str, str]]:
        rng, _ = numbers(self._plan.seed, STAGE, number)
        scenes: list[Scene] = []
        while len(scenes) < 2 * self._plan.pairs_of_shard:
            one = training_scene(rng)
            scenes += [one, recoloured(one, rng)]
        encoded = [self._encoded(each) for each in scenes]
        tensors = {
            "chunks": torch.stack([chunks for chunks, _ in encoded]).half(),
            "stills": torch.stack([still for _, still in encoded]).half(),
        }
        return tensors, {"contents": json.dumps([each.content for each in scenes])}

    def _encoded(self, shown: Scene) -> tuple[Tensor, Tensor]:
        size = self._plan.size
        film = to_video(draw(shown, range(CHUNKS * CHUNK_FRAMES), size))
        chunks = torch.stack(torch.split(film, CHUNK_FRAMES, dim=1))
        still = film[None, :, :1].repeat(1, 1, STILL_FRAMES, 1, 1)
        return (
            normalised(self._vae, encode(self._vae, chunks)),
            normalised(self._vae, encode(self._vae, still))[0, :, -1:],
        )


def normalised(vae: AutoencoderKLWan, latents: Tensor) -> Tensor:
    """As the transformer sees them."""
    config: Any = vae.config
    mean, spread = (torch.tensor(each) for each in (config.latents_mean, config.latents_std))
    shape = (1, -1, 1, 1, 1)
    scaled: Tensor = (latents - mean.view(shape)) / spread.view(shape)
    return scaled
