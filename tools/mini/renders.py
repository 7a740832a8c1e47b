"""Clips of a model directory, rendered by the very loop that a node renders with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKLWan
from PIL import Image

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.renderer import CHUNK_FRAMES, PromptMark, RenderSpec

from .captions import Content, caption, contents
from .vae import to_video
from .world import Pictures, draw, recoloured, scene

LANES = 8
"""Clips that are rendered in lockstep."""
SWITCH = 2
"""The chunk at which a prompt is switched, counted from 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class How:
    """How clips are rendered."""

    size: int
    chunks: int
    steps: tuple[int, ...]
    guidance_scale: float | None


@dataclass(frozen=True, slots=True)
class Ask:
    """A clip that is asked for, and what it is to show."""

    prompt: str
    content: Content
    seed: int
    image: str = ""
    schedule: tuple[PromptMark, ...] = ()


def held_out_asks(count: int, seed: int) -> list[Ask]:
    """Captions of contents that training never saw; the same for the same seed.

    No content comes twice before all have come once.
    """
    rng = np.random.default_rng([seed, 7])
    chosen: list[Content] = []
    while len(chosen) < count:
        fresh = contents(held_out=True)
        chosen += [fresh[number] for number in rng.permutation(len(fresh))]
    return [
        Ask(caption(content, rng), content, number) for number, content in enumerate(chosen[:count])
    ]


def picture_asks(count: int, seed: int, size: int, folder: Path) -> list[Ask]:
    """The same captions, each with a first picture of what it says, written into `folder`."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng([seed, 8])
    asks = []
    for ask in held_out_asks(count, seed):
        path = folder / f"{ask.seed}.png"
        Image.fromarray(draw(scene(rng, ask.content), [0], size)[0]).save(path)
        asks.append(replace(ask, image=str(path)))
    return asks


def switch_asks(count: int, seed: int) -> list[Ask]:
    """Captions whose clip changes its shape's colour at chunk `SWITCH`, to what is asked for."""
    rng = np.random.default_rng([seed, 9])
    asks = []
    for ask in held_out_asks(count, seed):
        before = recoloured(scene(rng, ask.content), rng).content
        change = PromptMark(chunk=SWITCH, prompt=ask.prompt)
        asks.append(replace(ask, prompt=caption(before, rng), schedule=(change,)))
    return asks


def rendered(
    renderer: HeliosRenderer, asks: Sequence[Ask], how: How
) -> Iterator[tuple[Ask, Pictures]]:
    """All frames of each clip, in order; float32 on the CPU."""
    for start in range(0, len(asks), LANES):
        some = asks[start : start + LANES]
        lanes = [renderer.start(spec(ask, how)) for ask in some]
        films: list[list[Pictures]] = [[] for _ in some]
        for _ in range(how.chunks):
            chunks = renderer.step(lanes, lambda _: False)
            for film, chunk in zip(films, chunks, strict=True):
                assert chunk is not None
                film.append(chunk.wait().frames)
        for ask, film in zip(some, films, strict=True):
            yield ask, np.concatenate(film)


@torch.no_grad()
def drawn(model: Path, asks: Sequence[Ask], how: How) -> Iterator[tuple[Ask, Pictures]]:
    """What each clip should be, as the VAE of `model` brings it back, chunk by chunk: the best that
    its transformer can come to."""
    vae = AutoencoderKLWan.from_pretrained(model, subfolder="vae", torch_dtype=torch.float32)
    for ask in asks:
        film = draw(
            scene(np.random.default_rng([ask.seed, 10]), ask.content),
            range(how.chunks * CHUNK_FRAMES),
            how.size,
        )
        chunks = []
        for chunk in np.split(film, how.chunks):
            latents = vae.encode(to_video(chunk)[None]).latent_dist.mode()
            back = vae.decode(latents).sample[0]
            chunks.append(((back + 1) * 127.5).round().byte().permute(1, 2, 3, 0).numpy())
        yield ask, np.concatenate(chunks)


def spec(ask: Ask, how: How) -> RenderSpec:
    """How a node is told to render a clip."""
    return RenderSpec(
        clip_id=f"mini-{ask.seed}",
        prompt=ask.prompt,
        frames=how.chunks * CHUNK_FRAMES,
        height=how.size,
        width=how.size,
        seed=ask.seed,
        steps=how.steps,
        guidance_scale=how.guidance_scale,
        image=ask.image,
        schedule=ask.schedule,
    )
