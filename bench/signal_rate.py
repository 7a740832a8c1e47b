"""How fast a take's quality signals are measured: frames a second on one core, decoding included.

    python bench/signal_rate.py

Two clips of 384x640: test cards, and a fine texture that moves, which is harder to decode.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np

from node_agent.encode import assemble, encode_segment
from node_agent.quality.measure import measure
from node_agent.render.renderer import CHUNK_FRAMES, Frames, RenderSpec
from node_agent.render.testcard import TestCardRenderer

CHUNKS, HEIGHT, WIDTH = 5, 384, 640
REPEATS = 5


def cards() -> Frames:
    """The frames of a test card's clip."""
    frames = CHUNKS * CHUNK_FRAMES
    spec = RenderSpec(
        clip_id="c", prompt="a heron", frames=frames, height=HEIGHT, width=WIDTH, seed=1
    )
    clip = TestCardRenderer().start(spec)
    return np.concatenate([clip.step(lambda: False).frames for _ in range(CHUNKS)])


def texture() -> Frames:
    """Noise of two by two pixels that moves by three in each frame."""
    noise = np.random.default_rng(1).normal(128, 40, (HEIGHT // 2, WIDTH // 2, 3))
    picture = np.clip(noise, 0, 255).astype(np.uint8).repeat(2, 0).repeat(2, 1)
    return np.stack([np.roll(picture, -3 * n, 1) for n in range(CHUNKS * CHUNK_FRAMES)])


def rate(frames: Frames) -> float:
    """Frames per second of processor time, the best of `REPEATS`."""
    with tempfile.TemporaryDirectory(prefix="heliostat-bench-") as directory:
        folder, segments = Path(directory), []
        for first in range(0, len(frames), CHUNK_FRAMES):
            segment = encode_segment(
                frames[first : first + CHUNK_FRAMES], start_frame=first, fps=24
            )
            (folder / "init").write_bytes(segment.init)
            segments.append(folder / str(first))
            segments[-1].write_bytes(segment.media)
        take = assemble(folder / "init", segments, folder / "take.mp4", frames=len(frames), fps=24)
        seconds = []
        for _ in range(REPEATS):
            began = time.process_time()
            measure(take.path, frames=take.frames)
            seconds.append(time.process_time() - began)
    return len(frames) / min(seconds)


if __name__ == "__main__":
    for name, frames in (("test cards", cards()), ("fine texture", texture())):
        print(f"{name}: {rate(frames):.0f} frames/s")
