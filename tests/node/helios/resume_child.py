"""Resume clips from files, in lockstep, and print a hash per chunk; run as a process of its own."""

import hashlib
import json
import sys
from pathlib import Path

from pydantic import TypeAdapter

from node_agent.render.helios.renderer import HeliosRenderer
from node_agent.render.negatives import read_negative
from node_agent.render.renderer import Checkpoint, RenderSpec, needed_negatives

request = json.load(sys.stdin)
device = request.get("device", "cpu")
renderer = HeliosRenderer(Path(request["model"]), device=device, threads=1)
clips = []
for lane, given in enumerate(request["specs"]):
    spec = TypeAdapter(RenderSpec).validate_python(given)
    chunk, folder = request["resume_at"], Path(request["negatives"]) / str(lane)
    negatives = {
        index: read_negative(folder / f"{index}.safetensors", chunk=index, model_digest="d")
        for index in needed_negatives(chunk, skip_first_chunk=spec.skip_first_chunk)
    }
    clips.append(renderer.start(spec, Checkpoint(chunk, negatives)))
hashes = []
while clips[0].next_chunk < clips[0].spec.chunks:
    for pending in renderer.step(clips, lambda _clip: False):
        made = pending.wait()
        content = made.frames.tobytes() + made.negative.latents.tobytes()
        hashes.append(hashlib.sha256(content).hexdigest())
print(json.dumps(hashes))
