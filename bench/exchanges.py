"""How many exchanges a second the coordinator answers, over Ray, for 500 simulated cards.

    python bench/exchanges.py [--ledgers sqlite,postgresql] [--rates 500,1100,0] [--seconds 30]

The real coordinator in its Ray process, on a durable ledger; two Ray processes speak for 250 cards
each through the gateway's own `Coalescer` and `RayCoordinatorLink`. A fifth of the exchanges
carries a chunk. A rate of 0 is as fast as 500 cards can, each waiting for its answer. Writes
exchanges.json and exchanges.png.
"""

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import ray
from about import about
from exchange_cards import CardProcess
from exchange_picture import draw
from measured_coordinator import MeasuredCoordinator
from postgresql import postgresql
from processes import cpu_seconds, difference

from farm.domain.batch import Batch
from farm.domain.clip import ClipState
from farm.domain.ledger import RequestRow
from farm.domain.spec import ClipSpec, NewClip
from farm.fleet_ray.coordinator_link import RayCoordinatorLink
from farm.fleet_ray.ledger import keep_url, url_of
from farm.fleet_ray.names import COORDINATOR, NAMESPACE
from farm.fleet_ray.settings import HeadSettings
from farm.store import open_ledger

HERE = Path(__file__).resolve().parent
BATCH = Batch(batch_id="bbbbbbbb", name="bench", project="default", created_at=1.0)
BLOCK = 500
CHUNKS_MAX = 12
PROCESSES = 2
WARM_UP_SECONDS = 2.0
READY_SECONDS = 120.0
PACKAGES = ("grpcio", "protobuf", "psycopg", "ray", "sqlalchemy")
EXCHANGES_MIN = 1_000.0
P99_MS_MAX = 250.0

Figures = dict[str, Any]


def main() -> int:
    """Measure, write, say whether the promises hold."""
    options = _options()
    result: Figures = {
        "about": about("exchanges.py", PACKAGES),
        "cards": options.cards,
        "clips": options.clips,
        "fsync_ms": fsync_ms(),
        "ledgers": {},
    }
    for ledger in options.ledgers.split(","):
        result["ledgers"][ledger] = measure_ledger(ledger, options)
    options.out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(result, indent=2, ensure_ascii=False)
    (options.out / "exchanges.json").write_text(text + "\n")
    draw(result, options.out / "exchanges.png")
    return _verdict(result)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ledgers", default="sqlite,postgresql")
    parser.add_argument("--rates", default="500,1100,0", help="exchanges a second; 0: the most")
    parser.add_argument("--seconds", type=float, default=30.0, help="the steady window")
    parser.add_argument("--settle", type=float, default=5.0, help="seconds before it")
    parser.add_argument("--cards", type=int, default=500)
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=HERE / "results")
    return parser.parse_args()


def fsync_ms(repeats: int = 100) -> float:
    """What it takes to bring 20 kB to this disk: the median in milliseconds."""
    seconds = []
    with tempfile.NamedTemporaryFile(buffering=0) as file:
        for _ in range(repeats):
            began = time.perf_counter()
            file.write(b"x" * 20_000)
            os.fsync(file.fileno())
            seconds.append(time.perf_counter() - began)
    return 1e3 * statistics.median(seconds)


@dataclass(frozen=True)
class RunningFleet:
    """A coordinator, and the processes that speak for the cards."""

    coordinator: Any
    processes: list[Any]
    cards: int


def measure_ledger(ledger: str, options: argparse.Namespace) -> Figures:
    """All rates over one ledger, and whether it holds in the end what the cards were told."""
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="heliostat-")))
        url = stack.enter_context(postgresql()) if ledger == "postgresql" else ""
        settings = HeadSettings(data_dir=directory, renderer="testcard", ledger=url)
        fleet = stack.enter_context(running_fleet(settings, options))
        runs = []
        warm_up(fleet)
        for rate in map(float, options.rates.split(",")):
            runs.append(measure(fleet, rate, options.seconds, options.settle))
            print(f"{ledger}, {_line(runs[-1])}", flush=True)
        return {"runs": runs, "recorded": _agreed(fleet, settings)}


@contextmanager
def running_fleet(settings: HeadSettings, options: argparse.Namespace) -> Iterator[RunningFleet]:
    """A Ray of its own with all that is measured, and a batch to render."""
    settings.save()
    keep_url(settings, settings.ledger)
    os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "PYTHONPATH": os.pathsep.join(sys.path)}
    with tempfile.TemporaryDirectory(prefix="x-") as session:
        ray.init(
            num_cpus=0,
            namespace=NAMESPACE,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=100 << 20,
            _temp_dir=session,
        )
        try:
            coordinator: Any = (
                ray.remote(MeasuredCoordinator)
                .options(name=COORDINATOR, max_concurrency=1000, num_cpus=0)
                .remote(str(settings.data_dir))
            )
            ray.get(coordinator.fleet.remote())
            asyncio.run(submit(options.clips))
            chunks_of = _chunks_of(settings)
            made = ray.remote(CardProcess).options(max_concurrency=2000, num_cpus=0)
            bounds = [options.cards * n // PROCESSES for n in range(PROCESSES + 1)]
            processes = [
                made.remote(range(first, last), chunks_of, first)
                for first, last in pairwise(bounds)
            ]
            ray.get([process.reported.remote() for process in processes])  # they are there
            yield RunningFleet(coordinator, processes, options.cards)
        finally:
            ray.shutdown()


async def submit(clips: int) -> None:
    """A batch of uneven clips, through the coordinator, as a gateway submits it."""
    link = RayCoordinatorLink()
    await link.begin(BATCH)
    for first in range(0, clips, BLOCK):
        block = range(first, min(first + BLOCK, clips))
        await link.stage(BATCH.batch_id, [_new_clip(number) for number in block])
    await link.publish(BATCH.batch_id, RequestRow("bench", "0" * 64, BATCH.batch_id, clips))


def _new_clip(number: int) -> NewClip:
    chunks = 1 + 7 * number % CHUNKS_MAX
    spec = ClipSpec(
        prompt="word " * 120, frames=33 * chunks, height=384, width=640, fps=24, seed=number
    )
    return NewClip(ordinal=number + 1, row=number + 2, name=f"shot {number:06}", spec=spec)


def _chunks_of(settings: HeadSettings) -> dict[str, int]:
    found, after, store = {}, 0, open_ledger(url_of(settings))
    try:
        while rows := store.clips(BATCH.batch_id, limit=1000, after=after):
            found.update((row.clip.clip_id, row.clip.chunks) for row in rows)
            after = rows[-1].clip.ordinal
    finally:
        store.close()
    return found


def warm_up(fleet: RunningFleet) -> None:
    """Exchange until each process has had twice as many answers as it has cards."""
    for process in fleet.processes:
        answers, deadline = 0, time.monotonic() + READY_SECONDS
        while answers < 2 * fleet.cards:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{answers} exchanges were answered: the coordinator is stuck")
            ray.get(process.run.remote(0.0, time.monotonic() + WARM_UP_SECONDS))
            answers += len(ray.get(process.seen.remote(0.0))[0])


def measure(fleet: RunningFleet, rate: float, seconds: float, settle: float) -> Figures:
    """One rate: a while to settle, then the window."""
    interval = fleet.cards / rate if rate else 0.0
    began = time.monotonic() + settle
    until = began + seconds
    running = [process.run.remote(interval, until) for process in fleet.processes]
    time.sleep(settle)
    cpu = cpu_seconds(_own_processes())
    ray.get(fleet.coordinator.watch.remote())
    time.sleep(max(0.0, until - time.monotonic()))
    watched = ray.get(fleet.coordinator.watched.remote())
    spent = difference(cpu_seconds(_own_processes()), cpu)
    ray.get(running)
    parts = ray.get([process.seen.remote(began) for process in fleet.processes])
    seen = [one for part in parts for one in part[0] if one[1] <= until]
    groups = [size for part in parts for size in part[1]]
    return {
        "offered_per_second": rate,
        "exchanges_per_second": len(seen) / seconds,
        "window_seconds": seconds,
        "load_1_minute": os.getloadavg()[0],
        "with_a_chunk": sum(one[2] for one in seen) / len(seen),
        "failed": sum(part[2] for part in parts),
        "answer_ms": _spread([1e3 * (answered - due) for due, answered, _ in seen]),
        "group_size": _spread(groups),
        "commits_per_second": len(watched["commit_seconds"]) / watched["seconds"],
        "commit_ms": _spread([1e3 * seconds for seconds in watched["commit_seconds"]]),
        "writer_shares": watched["shares"],
        "coordinator_cpus": watched["cpus"],
        "cpus": {kind: value / watched["seconds"] for kind, value in sorted(spent.items())},
    }


def _own_processes() -> list[psutil.Process]:
    me = psutil.Process()
    return [me, *me.children(recursive=True)]


def _spread(values: list[float] | list[int]) -> dict[str, float]:
    ordered = sorted(values)
    at = {f"p{p}": ordered[min(len(ordered) - 1, len(ordered) * p // 100)] for p in (50, 90, 99)}
    return {**at, "mean": statistics.fmean(ordered), "max": ordered[-1]}


def _agreed(fleet: RunningFleet, settings: HeadSettings) -> dict[str, int]:
    """What the cards were told is what coordinator and ledger hold. Raises AssertionError."""
    parts = ray.get([process.reported.remote() for process in fleet.processes])
    chunks, takes, refused = (sum(column) for column in zip(*parts, strict=True))
    counted = ray.get(fleet.coordinator.counts.remote())
    store = open_ledger(url_of(settings))
    try:
        batch = store.progress([BATCH.batch_id])[BATCH.batch_id]
    finally:
        store.close()
    assert counted == (chunks, takes, 0), (counted, parts)
    assert (batch.chunks_done, batch.clips[ClipState.DONE], refused) == (chunks, takes, 0), batch
    return {"chunks": chunks, "takes": takes}


def _line(run: Figures) -> str:
    offered = f"{run['offered_per_second']:.0f}/s offered" if run["offered_per_second"] else "most"
    answer = run["answer_ms"]
    return (
        f"{offered}: {run['exchanges_per_second']:.0f} exchanges/s, "
        f"p50 {answer['p50']:.0f} ms, p99 {answer['p99']:.0f} ms, "
        f"{run['commits_per_second']:.0f} commits/s of {run['group_size']['mean']:.1f} exchanges"
    )


def _verdict(result: Figures) -> int:
    """Each ledger has a run with both."""
    holds = True
    for ledger, figures in result["ledgers"].items():
        good = [
            run
            for run in figures["runs"]
            if run["exchanges_per_second"] >= EXCHANGES_MIN and run["answer_ms"]["p99"] < P99_MS_MAX
        ]
        holds &= bool(good)
        best = max(good or figures["runs"], key=lambda run: run["exchanges_per_second"])
        print(f"{'holds' if good else 'FAILS'}: {ledger}, {_line(best)}")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
