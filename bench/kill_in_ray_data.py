"""Uneven clips by Ray Data over two nodes, one of which is killed midway.

    python bench/kill_in_ray_data.py '{"clips": 36, …}'   (keys: AWS_* in the environment)

`map_batches` over an actor pool, one clip a call, with the fault tolerance that Ray's
documentation advises: actors and calls are repeated without limit. Prints one line of JSON.
"""

import json
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import psutil
import ray
from botocore.config import Config
from kill_work import KILL_SHARE, SLOTS_PER_NODE, Journal, begun_again, chunks_of, rows
from workload import SIDE

from node_agent.encode import assemble, encode_segment
from node_agent.render.renderer import RenderSpec
from node_agent.render.testcard import TestCardRenderer

FPS = 24
POLL_SECONDS = 0.05
START_SECONDS = 120.0


class Clips:
    """One of the pool: a clip in, its chunks and take in the store."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._bucket = options["bucket"]
        config = Config(s3={"addressing_style": "path"}, signature_version="s3v4")
        self._client = boto3.client(
            "s3", endpoint_url=options["endpoint"], region_name="us-east-1", config=config
        )
        self._renderer = TestCardRenderer(options["seconds_per_chunk"])
        self._journal = Journal(options["journal"])
        self._rows = rows(options["clips"])

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Render and upload."""
        for number in batch["id"]:
            self._clip(self._rows[int(number)])
        return {"id": batch["id"]}

    def _clip(self, row: dict[str, str]) -> None:
        name = row["id"]
        spec = RenderSpec(
            clip_id=name, name=name, prompt=row["prompt"], negative_prompt="",
            frames=int(row["frames"]), height=SIDE, width=SIDE, seed=1, steps=(),
            guidance_scale=None,
        )  # fmt: skip
        clip = self._renderer.start(spec)
        with tempfile.TemporaryDirectory() as directory:
            init, media = Path(directory, "init.mp4"), []
            for chunk in range(chunks_of(row)):
                self._journal.write("begin", name, chunk)
                frames = clip.step(lambda: False).frames
                segment = encode_segment(frames, start_frame=chunk * len(frames), fps=FPS)
                media.append(Path(directory, f"{chunk:05}.m4s"))
                media[-1].write_bytes(segment.media)
                if chunk == 0:
                    init.write_bytes(segment.init)
                    self._put(name, init)
                self._put(name, media[-1])
                self._journal.write("chunk", name, chunk)
            take = assemble(
                init, media, Path(directory, "take.mp4"), frames=int(row["frames"]), fps=FPS
            )
            self._put(name, take.path)
        self._journal.write("take", name)

    def _put(self, name: str, path: Path) -> None:
        key = f"ray-data-kill/{name}/{path.name}"
        self._client.put_object(Bucket=self._bucket, Key=key, Body=path.read_bytes())


def main() -> None:
    """Run it once, in a Ray of its own."""
    options = json.loads(sys.argv[1])
    journal = Journal(options["journal"])
    session = tempfile.mkdtemp(prefix="rk-")
    nodes = Nodes(session)
    watch = Watch(options, journal, nodes)
    try:
        nodes.start()
        threading.Thread(target=watch.run, daemon=True).start()
        _render(options)
        watch.tell("")
    except ray.exceptions.RayError as error:
        watch.tell(str(error).strip().splitlines()[-1])
    finally:
        shutil.rmtree(session, ignore_errors=True)


def _render(options: dict[str, Any]) -> None:
    ray.data.DataContext.get_current().enable_progress_bars = False
    clips = options["clips"]
    ray.data.range(clips, override_num_blocks=clips).map_batches(
        Clips,
        fn_constructor_args=(options,),
        batch_size=1,
        num_cpus=1,
        resources={"slot": 1},
        # max_restarts and max_task_retries are -1 unless said otherwise, as the guide advises;
        # to say it once more is deprecated.
        compute=ray.data.ActorPoolStrategy(size=2 * SLOTS_PER_NODE),
    ).take_all()


class Nodes:
    """Two Ray nodes of this machine, with as many slots each."""

    def __init__(self, session: str) -> None:
        self._session = session

    def start(self) -> None:
        """Start both, and connect. Raises ConnectionError, which says nothing of Ray Data."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self._address = f"127.0.0.1:{port}"
        # One more for the task that makes the rows.
        head = self._ray_start(
            SLOTS_PER_NODE + 1, "--head", f"--port={port}", f"--temp-dir={self._session}",
            "--include-dashboard=false",
        )  # fmt: skip
        deadline = time.monotonic() + START_SECONDS
        while not ray.is_initialized():
            try:
                ray.init(self._address, log_to_driver=False, logging_level=logging.ERROR)
            except (ConnectionError, RuntimeError):
                if head.poll() is not None or time.monotonic() > deadline:
                    raise ConnectionError("Ray's head did not start") from None
                time.sleep(POLL_SECONDS)
        self.start_second()
        while ray.cluster_resources().get("slot", 0) < 2 * SLOTS_PER_NODE:
            if self._second.poll() is not None or time.monotonic() > deadline:
                raise ConnectionError("the second node did not join")
            time.sleep(POLL_SECONDS)

    def start_second(self) -> None:
        """Start the second node, the first time or again."""
        self._second = self._ray_start(SLOTS_PER_NODE, f"--address={self._address}")

    def kill_second(self) -> float:
        """SIGKILL every process of it. Returns when, in Unix seconds."""
        for process in [self._second, *self._second.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):  # one may bring another down
                process.kill()
        return time.time()

    def _ray_start(self, cpus: int, *arguments: str) -> psutil.Popen:
        return psutil.Popen(
            [
                *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block"),
                *("--node-ip-address=127.0.0.1", "--dashboard-agent-listen-port=0"),
                *("--min-worker-port=0", "--max-worker-port=0", f"--num-cpus={cpus}"),
                *(f"--object-store-memory={100 << 20}", "--num-gpus=0", "--disable-usage-stats"),
                f"--resources={json.dumps({'slot': SLOTS_PER_NODE})}",
                *arguments,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )


class Watch:
    """Kills the second node at its moment, and says what became of the clips."""

    def __init__(self, options: dict[str, Any], journal: Journal, nodes: Nodes) -> None:
        self._options, self._journal, self._nodes = options, journal, nodes
        self._killed_at: float | None = None
        self._told = threading.Lock()

    def run(self) -> None:
        """Wait for the moment, kill, let the node come back if it does, wait for the limit."""
        total = sum(map(chunks_of, rows(self._options["clips"])))
        while self._stored() < KILL_SHARE * total:
            self._give_up_after(self._options["seconds_max"])
            time.sleep(POLL_SECONDS)
        self._killed_at = self._nodes.kill_second()
        if self._options["back_after"] is not None:
            time.sleep(self._options["back_after"])
            self._nodes.start_second()
        while True:
            self._give_up_after(self._options["seconds_max"])
            time.sleep(POLL_SECONDS)

    def tell(self, error: str) -> None:
        """Print the result and end: what hangs would hang for ever."""
        self._told.acquire()  # the first one tells
        lines = self._journal.read()
        begun = Counter((clip, chunk) for what, clip, chunk, _ in lines if what == "begin")
        takes = Counter(clip for what, clip, _, _ in lines if what == "take")
        began, ended = lines[0][3], max((line[3] for line in lines if line[0] == "take"), default=0)
        result = {
            "seconds": None if error else ended - began,
            "seconds_after_the_kill": None if error else ended - (self._killed_at or ended),
            "chunks_begun_again": begun_again(begun),
            "clips_without_a_take": self._options["clips"] - len(takes),
            "clips_delivered_again": begun_again(takes),
            "error": error,
        }
        print(json.dumps(result), flush=True)
        os._exit(0)

    def _give_up_after(self, seconds: float) -> None:
        """Seconds from the first chunk that was begun: the pool's start does not count."""
        lines = self._journal.read()
        if lines and time.time() > lines[0][3] + seconds:
            self.tell(f"not ended after {seconds:.0f} s")

    def _stored(self) -> int:
        return sum(line[0] == "chunk" for line in self._journal.read())


if __name__ == "__main__":
    main()
