"""Render a long clip and print the process's resident bytes after each chunk."""

import json
import sys
from pathlib import Path

import psutil

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.renderer import RenderSpec

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
clip = HeliosRenderer(Path(sys.argv[1]), threads=1).start(spec)
sizes = []
while clip.next_chunk < spec.chunks:
    clip.step(lambda: False)
    sizes.append(psutil.Process().memory_info().rss)
print(json.dumps(sizes))
