"""Clips of a model directory, rendered by the very loop that a node renders with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.renderer import CHUNK_FRAMES, PromptMark, RenderSpec

from .captions import Content, caption, contents
from .world import Pictures

LANES = 8
"""Clips that are rendered in lockstep."""


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


def rendered(
    renderer: HeliosRenderer, asks: Sequence[Ask], how: How
) -> Iterator[tuple[Ask, Pictures]]:
    """All frames of each clip, in order; float32 on the CPU."""
    for start in range(0, len(asks), LANES):
        some = asks[start : start + LANES]
        lanes = [renderer.start(_spec(ask, how)) for ask in some]
        films: list[list[Pictures]] = [[] for _ in some]
        for _ in range(how.chunks):
            chunks = renderer.step(lanes, lambda _: False)
            for film, chunk in zip(films, chunks, strict=True):
                assert chunk is not None
                film.append(chunk.wait().frames)
        for ask, film in zip(some, films, strict=True):
            yield ask, np.concatenate(film)


def _spec(ask: Ask, how: How) -> RenderSpec:
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
