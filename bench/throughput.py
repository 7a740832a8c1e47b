"""How many clips a second travel the farm's whole way, when rendering takes no time.

    python bench/throughput.py [--clips 300] [--repeats 3] [--cards 4] [--out bench/results]

Submit → lease → upload → verify → commit, over a real farm (Ray, gateway, coordinator, ledger)
and a real S3 server, once with a fast one and once with the embedded one; beside it the same work
by Ray Data, which verifies and records nothing. Writes throughput.json and throughput.png.
"""

import argparse
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from about import about
from farm_run import RunningFarm, running_farm, timed_batch
from picture import draw
from processes import cpu_seconds
from stores import RunningStore, rclone
from workload import FRAMES, SIDE, clip_row

from node_agent.encode import assemble, encode_segment
from node_agent.render.renderer import RenderSpec
from node_agent.render.testcard import TestCardRenderer

HERE = Path(__file__).resolve().parent
WARM_UP_CLIPS = 20
PLAIN_THREADS = 4
CLIPS_PER_SECOND_MIN = 20.0
RATIO_MAX = 2.0
RAY_DATA_SECONDS = 300.0
PACKAGES = ("av", "boto3", "grpcio", "numpy", "ray", "sqlalchemy", "swift")

Figures = dict[str, Any]


def main() -> int:
    """Measure, write, say whether the promises hold."""
    options = _options()
    rows = [clip_row(number) for number in range(options.clips)]
    result: Figures = {
        "about": about("throughput.py", PACKAGES),
        "clips": options.clips,
        "cards": options.cards,
    }
    result["making_a_clip_ms"] = making_ms()
    with rclone() as store:
        with running_farm(options.cards, store) as farm:
            result["fast"] = _measure(farm, rows, options.repeats, "fast store")
        result["ray_data"] = _ray_data(options, store)
    with running_farm(options.cards, None) as farm:
        result["embedded"] = _measure(farm, rows, options.embedded_repeats, "embedded store")
    result["ratio_to_ray_data"] = _ratio(result)
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    (options.out / "throughput.json").write_text(text + "\n")
    draw(result, options.out / "throughput.png")
    return _verdict(result)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=300)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--embedded-repeats", type=int, default=1)
    parser.add_argument("--cards", type=int, default=4)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    return parser.parse_args()


def making_ms(repeats: int = 30) -> dict[str, float]:
    """What a renderer that takes no time leaves to be done, measured alone: milliseconds each."""
    spec = RenderSpec(clip_id="c", prompt="p", frames=FRAMES, height=SIDE, width=SIDE, seed=1)
    renderer = TestCardRenderer()
    frames = renderer.start(spec).step(lambda: False).frames
    segment = encode_segment(frames, start_frame=0, fps=24)
    with tempfile.TemporaryDirectory() as directory:
        init, media = Path(directory, "init.mp4"), Path(directory, "segment.m4s")
        init.write_bytes(segment.init)
        media.write_bytes(segment.media)
        take = Path(directory, "take.mp4")
        return {
            "draw": _median_ms(lambda: renderer.start(spec).step(lambda: False), repeats),
            "encode": _median_ms(lambda: encode_segment(frames, start_frame=0, fps=24), repeats),
            "assemble": _median_ms(
                lambda: assemble(init, [media], take, frames=FRAMES, fps=24), repeats
            ),
        }


def _median_ms(call: Callable[[], object], repeats: int) -> float:
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - began)
    return 1e3 * statistics.median(seconds)


def _measure(farm: RunningFarm, rows: list[Any], repeats: int, what: str) -> Figures:
    """Some batches one after another, and the store's own time for as many such objects."""
    timed_batch(farm, rows[:WARM_UP_CLIPS], "warm-up")
    runs = []
    for number in range(repeats):
        run = timed_batch(farm, rows, f"run-{number}")
        print(f"{what}: {run['clips_per_second']:.1f} clips/s", flush=True)
        runs.append(run)
    own = store_ms(farm.store, runs[-1]["objects"], len(rows))
    return {
        "clips_per_second": statistics.median(run["clips_per_second"] for run in runs),
        "ms_per_clip": statistics.median(1e3 / run["clips_per_second"] for run in runs),
        "store_alone": own,
        "runs": runs,
    }


def store_ms(store: RunningStore, objects: Figures, clips: int) -> dict[str, float]:
    """The store's own time: the same number and sizes of PUT and HEAD from a plain client."""
    client = store.client()
    cpu = sum(cpu_seconds(store.processes).values())
    names = [(kind, n) for n in range(clips) for kind in objects]
    bodies = {kind: os.urandom(round(shape["bytes"])) for kind, shape in objects.items()}

    def put(name: tuple[str, int]) -> None:
        client.put(_key(name), bodies[name[0]], "application/octet-stream")

    def head(name: tuple[str, int]) -> None:
        body = bodies[name[0]]
        client.verify(_key(name), len(body), hashlib.sha256(body).hexdigest())

    times = {}
    with ThreadPoolExecutor(PLAIN_THREADS) as threads:
        for what, call in (("put", put), ("head", head)):
            began = time.perf_counter()
            list(threads.map(call, names))
            times[f"{what}_ms_per_clip"] = 1e3 * (time.perf_counter() - began) / clips
    times["ms_per_clip"] = sum(times.values())
    if store.processes:
        spent = sum(cpu_seconds(store.processes).values()) - cpu
        times["server_cpu_ms_per_clip"] = 1e3 * spent / clips
    return times


def _key(name: tuple[str, int]) -> str:
    return f"plain/{name[1]:06}/{name[0]}"


def _ray_data(options: argparse.Namespace, store: RunningStore) -> Figures:
    settings = store.settings
    keys = {"AWS_ACCESS_KEY_ID": settings.access_key, "AWS_SECRET_ACCESS_KEY": settings.secret_key}
    command = [sys.executable, str(HERE / "ray_data.py"), str(options.clips), str(options.cards)]
    runs = []
    for _ in range(options.repeats):
        done = subprocess.run(
            [*command, settings.endpoint, settings.bucket],
            env={**os.environ, **keys, "RAY_USAGE_STATS_ENABLED": "0"},
            check=True,
            stdout=subprocess.PIPE,
            timeout=RAY_DATA_SECONDS,
        )
        runs.append(json.loads(done.stdout.splitlines()[-1]))
        print(f"Ray Data: {runs[-1]['clips_per_second']:.1f} clips/s", flush=True)
    return {
        "ms_per_clip": statistics.median(run["ms_per_clip"] for run in runs),
        "clips_per_second": statistics.median(run["clips_per_second"] for run in runs),
        "runs": runs,
    }


def _ratio(result: Figures) -> float:
    return float(result["fast"]["ms_per_clip"] / result["ray_data"]["ms_per_clip"])


def _verdict(result: Figures) -> int:
    fast, ratio = result["fast"]["clips_per_second"], result["ratio_to_ray_data"]
    lines = {
        f"{fast:.1f} clips/s with a fast store (at least {CLIPS_PER_SECOND_MIN:.0f})": (
            fast >= CLIPS_PER_SECOND_MIN
        ),
        f"{ratio:.2f} times the time of Ray Data per clip (at most {RATIO_MAX:.0f})": (
            ratio <= RATIO_MAX
        ),
    }
    for line, holds in lines.items():
        print(f"{'holds' if holds else 'FAILS'}: {line}")
    print(
        f"beside it: {result['embedded']['clips_per_second']:.1f} clips/s with the embedded store"
    )
    return 0 if all(lines.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
