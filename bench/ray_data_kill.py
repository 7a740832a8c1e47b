"""Heliostat and Ray Data on the same uneven work, with one of two nodes killed midway.

    python bench/ray_data_kill.py [--clips 36] [--seconds-per-chunk 0.5] [--repeats 3]

Two nodes with two slots each; a slot is a card, or a place of the actor pool. Clips have 1 to 12
chunks; a chunk takes a fixed time, and is then encoded and uploaded by the same functions to the
same store. When half of all chunks are stored, every process of one node is killed with SIGKILL.
It stays away (`away`), or it is started again after a while (`back`). Writes ray_data_kill.json
and ray_data_kill.png.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import kill_in_farm
from about import about
from kill_picture import draw
from kill_work import NODES, SLOTS_PER_NODE, chunks_of, least_seconds, median_of, rows
from stores import RunningStore, rclone

from farm.fleet_ray.ray_head import environment
from farm.fleet_ray.settings import HeadSettings, ensure_secrets

HERE = Path(__file__).resolve().parent
PACKAGES = ("boto3", "pyarrow", "ray")
START_SECONDS = 300.0
STARTS_MAX = 3
FIGURES = (
    "seconds", "seconds_after_the_kill", "chunks_begun_again", "clips_without_a_take",
    "clips_delivered_again",
)  # fmt: skip

Figures = dict[str, Any]


def main() -> int:
    """Measure, print the table, write."""
    options = _options()
    chunks = sum(map(chunks_of, rows(options.clips)))
    least = least_seconds(chunks, options.seconds_per_chunk)
    result: Figures = {
        "about": about("ray_data_kill.py", PACKAGES),
        "clips": options.clips,
        "chunks": chunks,
        "seconds_per_chunk": options.seconds_per_chunk,
        "nodes": NODES,
        "slots_per_node": SLOTS_PER_NODE,
        "least_seconds_without_the_node": least,
        "back_after_seconds": options.back_after,
        "seconds_max": options.patience * least,
        "scenarios": {},
    }
    with rclone() as store:
        for scenario in options.scenarios.split(","):
            work = _work(options, result, scenario)
            result["scenarios"][scenario] = _scenario(work, store, options.repeats, scenario)
            _write(result, options.out)  # the next scenario takes long
    return 0


def _write(result: Figures, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    (out / "ray_data_kill.json").write_text(text + "\n")
    draw(result, out / "ray_data_kill.png")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--clips", type=int, default=36)
    parser.add_argument("--seconds-per-chunk", type=float, default=0.5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--scenarios", default="away,back")
    parser.add_argument("--back-after", type=float, default=20.0, help="seconds after the kill")
    parser.add_argument(
        "--patience", type=float, default=4.0, help="give up after so many times the least time"
    )
    parser.add_argument("--out", type=Path, default=HERE / "results")
    return parser.parse_args()


def _work(options: argparse.Namespace, result: Figures, scenario: str) -> Figures:
    return {
        "clips": options.clips,
        "seconds_per_chunk": options.seconds_per_chunk,
        "seconds_max": result["seconds_max"],
        "back_after": options.back_after if scenario == "back" else None,
    }


def _scenario(work: Figures, store: RunningStore, repeats: int, name: str) -> Figures:
    found = {}
    for who, run in {"Heliostat": kill_in_farm.run, "Ray Data": run_ray_data}.items():
        runs = []
        for _ in range(repeats):
            runs.append(run(work, store))
            print(f"{name}, {who}: {json.dumps(runs[-1])}", flush=True)
        medians = {figure: median_of(runs, figure) for figure in FIGURES}
        found[who] = {**medians, "ended": sum(not run["error"] for run in runs), "runs": runs}
    return found


def run_ray_data(work: Figures, store: RunningStore) -> Figures:
    """One run of `kill_in_ray_data.py`. Where Ray itself does not start, which tells nothing of
    Ray Data, it is started again. Raises RuntimeError."""
    for _ in range(STARTS_MAX):
        out = _run_ray_data(work, store)
        if out:
            found: Figures = json.loads(out.splitlines()[-1])
            return found
    raise RuntimeError(f"Ray did not start, {STARTS_MAX} times: see above")


def _run_ray_data(work: Figures, store: RunningStore) -> bytes:
    """What it printed, under the settings that a farm gives its own Ray."""
    settings = store.settings
    with tempfile.TemporaryDirectory(prefix="heliostat-bench-") as directory:
        given = {
            **work,
            "endpoint": settings.endpoint,
            "bucket": settings.bucket,
            "journal": str(Path(directory, "journal")),
        }
        process = subprocess.Popen(
            [sys.executable, str(HERE / "kill_in_ray_data.py"), json.dumps(given)],
            env=_environment(Path(directory), store),
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            out: bytes = process.communicate(timeout=work["seconds_max"] + START_SECONDS)[0]
        finally:
            _end(process.pid)
    return out


def _environment(directory: Path, store: RunningStore) -> dict[str, str]:
    settings = HeadSettings(data_dir=directory)
    ensure_secrets(settings)
    return {
        **os.environ,
        **environment(settings),
        "AWS_ACCESS_KEY_ID": store.settings.access_key,
        "AWS_SECRET_ACCESS_KEY": store.settings.secret_key,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }


def _end(session: int) -> None:
    """Kill what is left of a run: everything in its session, Ray's processes among them."""
    for entry in Path("/proc").glob("[0-9]*"):
        pid = int(entry.name)
        try:
            if os.getsid(pid) == session:
                os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


if __name__ == "__main__":
    sys.exit(main())
