"""Print a process's resident bytes after each chunk of a long clip, then after cancelled clips."""

import dataclasses
import gc
import json
import sys
from pathlib import Path

import psutil

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.memory import release_free_memory
from node_agent.render.renderer import RenderCancelled, RenderSpec

chunks = int(sys.argv[2])
spec = RenderSpec(
    clip_id="long",
    prompt="A slow train crosses a plain",
    frames=33 * chunks,
    height=64,
    width=64,
    seed=3,
    steps=(1, 1, 1),
)


def resident() -> int:
    gc.collect()
    release_free_memory()
    return psutil.Process().memory_info().rss


renderer = HeliosRenderer(Path(sys.argv[1]), threads=1)
clip = renderer.start(spec)
sizes = []
while clip.next_chunk < spec.chunks:
    clip.step(lambda: False)
    sizes.append(psutil.Process().memory_info().rss)
del clip


def cancel_one(number: int) -> int:
    """Start a clip, cancel it within its second chunk, drop it."""
    asked = []
    clip = renderer.start(dataclasses.replace(spec, prompt=f"A train, number {number}"))
    clip.step(lambda: False)
    try:
        clip.step(lambda: len(asked) > 1 or bool(asked.append(None)))
    except RenderCancelled:
        return resident()
    raise AssertionError("the chunk was not cancelled")


before = resident()
print(json.dumps({"chunks": sizes, "cancelled": [before, *map(cancel_one, range(8))]}))
