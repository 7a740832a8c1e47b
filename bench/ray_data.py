"""The same work by Ray Data: `map_batches` over an actor pool, uploads by boto3.

    python bench/ray_data.py CLIPS ACTORS ENDPOINT BUCKET    (keys: AWS_* in the environment)

Each clip's frames are drawn, encoded and put together by the farm's own functions, and the same
four objects are uploaded. Nothing is verified, nothing is recorded, nothing survives a failure.
Prints one line of JSON. Start-up of Ray and of the pool is left out.
"""

import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import boto3
import ray
from botocore.config import Config
from workload import FRAMES, SIDE, clip_row

from node_agent.encode import assemble, encode_segment
from node_agent.render.renderer import RenderSpec
from node_agent.render.testcard import TestCardRenderer

FPS = 24
BATCH_CLIPS = 8


class Clips:
    """One of the pool: clips in, times out."""

    def __init__(self, endpoint: str, bucket: str) -> None:
        self._bucket = bucket
        config = Config(s3={"addressing_style": "path"}, signature_version="s3v4")
        self._client = boto3.client(
            "s3", endpoint_url=endpoint, region_name="us-east-1", config=config
        )
        self._renderer = TestCardRenderer()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Render and upload a batch of clips."""
        began, cpu = time.time(), time.process_time()
        for number in batch["id"]:
            self._clip(int(number))
        spent = time.process_time() - cpu
        count = len(batch["id"])
        return {
            "began": [began] * count,
            "ended": [time.time()] * count,
            "cpu": [spent / count] * count,
        }

    def _clip(self, number: int) -> None:
        row = clip_row(number)
        spec = RenderSpec(
            clip_id=row["id"], name=row["id"], prompt=row["prompt"], negative_prompt="",
            frames=FRAMES, height=SIDE, width=SIDE, seed=number, steps=(), guidance_scale=None,
        )  # fmt: skip
        chunk = self._renderer.start(spec).step(lambda: False)
        segment = encode_segment(chunk.frames, start_frame=0, fps=FPS)
        with tempfile.TemporaryDirectory() as directory:
            init, media = Path(directory, "init.mp4"), Path(directory, "segment.m4s")
            init.write_bytes(segment.init)
            media.write_bytes(segment.media)
            take = assemble(init, [media], Path(directory, "take.mp4"), frames=FRAMES, fps=FPS)
            video = take.path.read_bytes()
        sidecar = json.dumps({**row, "seed": number, "sha256": take.sha256}).encode()
        for name, content in {
            "init.mp4": segment.init,
            "segment.m4s": segment.media,
            "take.mp4": video,
            "take.json": sidecar,
        }.items():
            digest = hashlib.sha256(content).hexdigest()
            key = f"ray-data/{row['id']}/{digest[:16]}-{name}"
            self._client.put_object(Bucket=self._bucket, Key=key, Body=content)


def main() -> None:
    """Run it once in a Ray of its own."""
    clips, actors, endpoint, bucket = sys.argv[1:]
    session = tempfile.mkdtemp(prefix="rd-")
    ray.init(
        num_cpus=int(actors) + 1,  # one for the task that makes the rows
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=100 << 20,
        _temp_dir=session,
        runtime_env={"env_vars": {"PYTHONPATH": os.path.dirname(os.path.abspath(__file__))}},
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    blocks = max(int(actors), int(clips) // BATCH_CLIPS)
    rows = (
        ray.data.range(int(clips), override_num_blocks=blocks)
        .map_batches(
            Clips,
            fn_constructor_args=(endpoint, bucket),
            batch_size=BATCH_CLIPS,
            num_cpus=1,
            compute=ray.data.ActorPoolStrategy(size=int(actors)),
        )
        .take_all()
    )
    ray.shutdown()
    shutil.rmtree(session, ignore_errors=True)
    seconds = max(row["ended"] for row in rows) - min(row["began"] for row in rows)
    result = {
        "clips": len(rows),
        "seconds": seconds,
        "clips_per_second": len(rows) / seconds,
        "ms_per_clip": 1e3 * seconds / len(rows),
        "cpu_ms_per_clip": {"pool": 1e3 * sum(row["cpu"] for row in rows) / len(rows)},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
