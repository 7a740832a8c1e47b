"""How fast a gateway answers about one batch of 100,000 clips.

    python bench/large_batch.py [--clips N] [--columns N] [--postgresql] [--out FILE]

A real gateway, coordinator and ledger, asked over gRPC by the SDK; the clips and what has become
of them are put into the ledger's tables at once. Medians and worst of 15 calls, in milliseconds;
beside them the CPU time of all of it, client included, which other load does not lengthen.
"""

import argparse
import asyncio
import contextlib
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

from bench.about import about
from farm.client import Farm
from farm.client.clip_filter import AWAITING, ClipFilter
from farm.coordinator import Coordinator
from farm.domain.batch import Batch
from farm.domain.ledger import RequestRow
from farm.domain.spec import ClipSpec, NewClip
from farm.gateway.retention import Retention
from farm.store import open_ledger, open_store
from heliostat.v1 import types_pb2 as types
from tests.fixtures.gateway import TOKEN, LocalLink, Rig
from tests.fixtures.postgresql import running

ROUNDS = 15
BATCH = Batch(batch_id="blarge00", name="large", project="default", created_at=1.0)
APPROVED, REJECTED = types.Review.VERDICT_APPROVED, types.Review.VERDICT_REJECTED


class BenchRig(Rig):
    """The rig of the tests over any ledger, with the batch in it."""

    def __init__(self, url: str, clips: int, columns: int) -> None:
        super().__init__(Path())
        self.url, self.size = url, (clips, columns)
        self.fill_seconds = 0.0

    async def __aenter__(self) -> "BenchRig":
        self.store = open_store(self.url)
        began = time.perf_counter()
        fill(self.store, *self.size)
        self.fill_seconds = time.perf_counter() - began
        self.ledger = open_ledger(self.url)
        self.link = LocalLink(Coordinator(self.store, self.clock))
        await self.start_gateway()
        return self


def fill(store: Any, clips: int, columns: int) -> None:
    """Of every 100 clips 88 are done (4 approved, 2 rejected of them), 10 failed, 2 queued."""
    epoch = store.claim_epoch(1.0)
    store.stage_batch(epoch, BATCH)
    for start in range(1, clips + 1, 1000):
        block = range(start, min(start + 1000, clips + 1))
        store.stage_clips(epoch, BATCH.batch_id, [_clip(n, columns) for n in block])
    store.publish_batch(epoch, 2.0, BATCH.batch_id, RequestRow("r", "d", BATCH.batch_id, clips))
    verdict = (
        "CASE mod(ordinal, 100) WHEN 1 THEN 'rejected' WHEN 2 THEN 'rejected' ELSE 'approved' END"
    )
    with store._engine.begin() as connection:
        run = connection.exec_driver_sql
        run(
            "UPDATE clips SET state = 'done', chunks_done = chunks, attempt = 1, finished_at = 3 "
            "WHERE mod(ordinal, 100) < 88"
        )
        run(
            "UPDATE clips SET state = 'failed', reason = 'it does', attempt = 1, finished_at = 3 "
            "WHERE mod(ordinal, 100) >= 90"
        )
        run(
            "INSERT INTO takes SELECT clip_id, 1, 'node-0', frames, 'model', 'stack', 3, "
            "'k/' || clip_id, 'a', 9000000, 'j/' || clip_id, 'b', 3000 FROM clips "
            "WHERE state = 'done'"
        )
        run(
            f"INSERT INTO reviews (clip_id, verdict, note, reviewer, at) SELECT clip_id, {verdict},"
            " '', 'ann', 4 FROM clips WHERE mod(ordinal, 100) BETWEEN 1 AND 6"
        )
        run(f"UPDATE clips SET verdict = {verdict} WHERE mod(ordinal, 100) BETWEEN 1 AND 6")
        sums = {
            "clips": "count(*)",
            "chunks": "sum(chunks)",
            "chunks_done": "sum(chunks_done)",
            "frames": "sum(frames)",
        }
        for name, total in sums.items():
            run(
                f"UPDATE tallies SET {name} = coalesce((SELECT {total} FROM clips "
                "WHERE clips.state = tallies.state), 0)"
            )
    if store._engine.dialect.name == "postgresql":
        engine = store._engine.execution_options(isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql("VACUUM ANALYZE")  # as it does by itself


def _clip(n: int, columns: int) -> NewClip:
    own = {f"Column {k}": f"value {n * k % 997} of the tracker" for k in range(columns - 2)}
    return NewClip(
        ordinal=n,
        row=n + 1,
        name=f"sh{n:06}",
        file_name=f"sh{n:06}_v001",
        spec=ClipSpec(prompt="word " * 60, frames=33, height=384, width=640, fps=24, seed=n),
        columns={"Shot": f"SH{n:06}", "Sequence": f"sq{n % 200:03}", **own},
    )


def questions(farm: Farm, clips: int) -> dict[str, Callable[[], object]]:
    """What is asked, by its words."""
    batch, failed, again = BATCH.batch_id, count(), count()

    def page(size: int = 100, token: str = "", **query: Any) -> Callable[[], object]:
        return lambda: next(farm.clip_pages(batch, page_size=size, page_token=token, **query))

    def where(**columns: list[str]) -> Callable[[], object]:
        return page(only=ClipFilter(where=columns))

    def retry(amount: int) -> Callable[[], object]:
        return lambda: farm.retry(
            batch, [f"sh{_nth_failed(next(failed)):06}" for _ in range(amount)]
        )

    def review() -> object:
        names = [f"sh{_nth_done(next(again)):06}" for _ in range(100)]
        return farm.review(batch, names, approve=True, reviewer="ann")

    names = [f"sh{n:06}" for n in range(7, clips, clips // 100)]
    late = str(clips * 9 // 10)
    return {
        "status": lambda: farm.get(batch),
        "list of batches": lambda: list(farm.list()),
        "list, first 100": page(),
        "list, 100 near the end": page(token=late),
        "list, 1,000": page(1000),
        "state failed": page(states=[types.CLIP_STATE_FAILED]),
        "latest versions": page(only=ClipFilter(latest=True)),
        "approved": page(only=ClipFilter(verdicts=[APPROVED])),
        "rejected, near the end": page(token=late, only=ClipFilter(verdicts=[REJECTED])),
        "awaiting review": page(only=AWAITING),
        "awaiting review, near the end": page(token=late, only=AWAITING),
        "two sequences of 200": where(sequence=["sq001", "sq002"]),
        "one shot": where(shot=[f"sh{clips * 9 // 10:06}"]),
        "no shot": where(shot=["nothing*"]),
        "one shot by its name": page(only=ClipFilter(clips=[f"sh{clips // 2:06}"])),
        "100 clips by their names": page(only=ClipFilter(clips=names)),
        "retry 1": retry(1),
        "retry 100": retry(100),
        "review 100": review,
    }


def _nth_failed(n: int) -> int:
    """Ordinals whose last two digits are 90 to 99."""
    return n // 10 * 100 + 90 + n % 10


def _nth_done(n: int) -> int:
    """Ordinals whose last two digits are 10 to 79."""
    return n // 70 * 100 + 10 + n % 70


def measure(url: str, clips: int, columns: int) -> dict[str, Any]:
    """All questions of one ledger."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def run(call: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(call, loop).result(900)

    rig = BenchRig(url, clips, columns)
    rig.settings = replace(rig.settings, retention=Retention(step_seconds=3600))
    run(rig.__aenter__())
    figures: dict[str, Any] = {}
    try:
        with Farm(f"127.0.0.1:{rig.gateway.grpc_port}", TOKEN) as farm:
            for what, ask in questions(farm, clips).items():
                seconds, busy = [], []
                for _ in range(ROUNDS):
                    began, cpu = time.perf_counter(), time.process_time()
                    ask()
                    seconds.append(time.perf_counter() - began)
                    busy.append(time.process_time() - cpu)
                median, worst = statistics.median(seconds) * 1e3, max(seconds) * 1e3
                cpu_ms = statistics.median(busy) * 1e3
                figures[what] = {
                    "median_ms": round(median, 1), "max_ms": round(worst, 1),
                    "median_cpu_ms": round(cpu_ms, 1),
                }  # fmt: skip
                print(
                    f"{what:34} {median:8.1f} ms   max {worst:8.1f}   CPU {cpu_ms:8.1f}", flush=True
                )
            began = time.perf_counter()
            requeued = farm.retry(BATCH.batch_id).requeued
            all_failed = {"clips": requeued, "seconds": round(time.perf_counter() - began, 2)}
            print(f"retry --failed: {all_failed}")
    finally:
        run(rig.__aexit__())
        loop.call_soon_threadsafe(loop.stop)
    return {
        "fill_seconds": round(rig.fill_seconds, 1), "calls": figures, "retry_all": all_failed,
    }  # fmt: skip


@contextlib.contextmanager
def _ledger(postgresql: bool) -> Iterator[str]:
    if postgresql:
        with running(durable=True) as server:
            yield server.ledger()
    else:
        with tempfile.TemporaryDirectory() as directory:
            yield f"sqlite:///{directory}/farm.db"


def main() -> None:
    """Measure, print, and add it to the file of results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--columns", type=int, default=30)
    parser.add_argument("--postgresql", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    said = about("large_batch.py", ["grpcio", "sqlalchemy"])
    with _ledger(given.postgresql) as url:
        found = measure(url, given.clips, given.columns)
    kind = "postgresql" if given.postgresql else "sqlite"
    if given.out:
        known = json.loads(given.out.read_text()) if given.out.exists() else {}
        known[kind] = {**said, "clips": given.clips, "own_columns": given.columns, **found}
        given.out.write_text(json.dumps(known, indent=1) + "\n")


if __name__ == "__main__":
    main()
