"""Resume a clip from files and print a hash per chunk; run as a process of its own."""

import hashlib
import json
import sys
from pathlib import Path

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.negatives import read_negative
from node_agent.render.renderer import Checkpoint, RenderSpec, needed_negatives

request = json.load(sys.stdin)
spec = RenderSpec(**{**request["spec"], "steps": tuple(request["spec"]["steps"])})
directory = Path(request["negatives"])
negatives = {
    index: read_negative(directory / f"{index}.safetensors", chunk=index, model_digest="d")
    for index in needed_negatives(request["resume_at"])
}
clip = HeliosRenderer(Path(request["model"]), threads=1).start(
    spec, Checkpoint(request["resume_at"], negatives)
)
hashes = []
while clip.next_chunk < spec.chunks:
    chunk = clip.step(lambda: False)
    content = chunk.frames.tobytes() + chunk.negative.latents.tobytes()
    hashes.append(hashlib.sha256(content).hexdigest())
print(json.dumps(hashes))
