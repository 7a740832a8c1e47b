"""How fast the ledger is on this machine: `python bench/ledger.py [CLIPS] [DIRECTORY|URL]`.

Prints one line for each promise, medians in milliseconds, and what an fsync costs alone.
"""

import gc
import os
import statistics
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

from farm.domain.batch import Batch
from farm.domain.clip import ChunkRecorded, Clip, ClipState, Event, Holder, Leased, step
from farm.domain.ledger import ChunkRow, ClipChange, Commit, RequestRow, StoredObject
from farm.domain.spec import ClipSpec, NewClip
from farm.store import SqlLedger, SqlStore, open_ledger, open_store

BATCH = Batch(batch_id="baaaaaaa", name="bench", project="p", created_at=1.0)
BLOCK = 1_000
GROUP = 200


def timed(call: Callable[[], object]) -> float:
    """Seconds that `call` takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def say(what: str, seconds: list[float]) -> None:
    """One line: what, median and worst."""
    print(f"{what:46} {statistics.median(seconds) * 1e3:9.2f} ms   max {max(seconds) * 1e3:9.2f}")


def submit(store: SqlStore, epoch: int, count: int) -> None:
    """Stage and publish clips with prompts of 600 characters."""
    clips = [
        NewClip(
            ordinal=n,
            row=n + 1,
            name=f"shot {n:06}",
            spec=ClipSpec(prompt="word " * 120, frames=120, height=384, width=640, fps=24, seed=n),
        )
        for n in range(1, count + 1)
    ]
    store.stage_batch(epoch, BATCH)
    blocks = [clips[start : start + BLOCK] for start in range(0, count, BLOCK)]
    staged = [timed(lambda b=b: store.stage_clips(epoch, BATCH.batch_id, b)) for b in blocks]
    print(f"{f'stage {count} clips, in all':46} {sum(staged):9.2f} s")
    request = RequestRow("r", "d", BATCH.batch_id, count)
    say("publish", [timed(lambda: store.publish_batch(epoch, 2.0, BATCH.batch_id, request))])


def load(store: SqlStore) -> list[Clip]:
    """Load all clips, timed first and then weighed."""
    say("load all clips", [timed(lambda: list(store.clips_in_memory(BATCH.batch_id)))])
    gc.collect()
    tracemalloc.start()
    clips = list(store.clips_in_memory(BATCH.batch_id))
    print(f"{'bytes in memory per clip':46} {tracemalloc.get_traced_memory()[0] / len(clips):9.0f}")
    tracemalloc.stop()
    return clips


def stepped(clips: list[Clip], places: range, event: Callable[[Clip], Event]) -> Commit:
    """A commit that steps the clips at `places`, with the chunks that come with it."""
    commit = Commit()
    for place in places:
        before, what = clips[place], event(clips[place])
        clips[place] = after = step(before, what)
        commit.clips.append(ClipChange(before, after, what.kind, card_id="card"))
        if isinstance(what, ChunkRecorded):
            commit.chunks.append(chunk(before))
    return commit


def chunk(clip: Clip) -> ChunkRow:
    """A chunk's row, with objects as long as real ones."""
    objects = tuple(
        StoredObject(
            kind=kind, key=f"project/batch/{clip.clip_id}/v001/a1/{kind}", sha256="0" * 64,
            size_bytes=1,
        )
        for kind in ("segment", "negative")
    )  # fmt: skip
    return ChunkRow(
        clip_id=clip.clip_id, chunk=clip.chunks_done, attempt=1, card_id="card", frames=33,
        render_seconds=1.0, encode_seconds=0.1, objects=objects,
    )  # fmt: skip


def commits(store: SqlStore, epoch: int, clips: list[Clip]) -> None:
    """Commits of one and of 200 changes, side by side and scattered over the batch."""
    holder = Holder("card", "i")
    half = len(clips) // 2

    def run(what: str, all_places: list[range], event: Callable[[Clip], Event]) -> None:
        made = (stepped(clips, places, event) for places in all_places)
        say(what, [timed(lambda c=c: store.commit(epoch, 3.0, c)) for c in made])

    groups = [range(n * GROUP, (n + 1) * GROUP) for n in range(20)]
    run("commit 200 leases, side by side", groups, lambda _: Leased(holder))
    run("commit 200 chunks, side by side", groups, lambda c: ChunkRecorded(c.chunks_done))
    scattered = [range(half + n, len(clips), half // GROUP) for n in range(20)]
    run("commit 200 leases, scattered", scattered, lambda _: Leased(holder))
    run("commit 1 chunk", [range(n, n + 1) for n in range(300)], lambda _: ChunkRecorded(1))


def questions(ledger: SqlLedger) -> None:
    """What status, list, watch and metrics ask."""
    batch = BATCH.batch_id
    ended = [ClipState.FAILED, ClipState.CANCELLED, ClipState.DONE]
    for what, ask in {
        "find_batch": lambda: ledger.find_batch("bench"),
        "progress": lambda: ledger.progress([batch]),
        "clip_counts": ledger.clip_counts,
        "clips, 200 of the middle": lambda: ledger.clips(batch, limit=200, after=50_000),
        "clips, 200 ended": lambda: ledger.clips(batch, limit=200, states=ended),
        "events, 500 of the batch": lambda: ledger.events(after=900, limit=500, batch_id=batch),
        "events, none new": lambda: ledger.events(after=10**9, limit=500, batch_id=batch),
    }.items():
        say(what, [timed(ask) for _ in range(21)])


def main() -> None:
    """Run all of it in a directory of its own, or in an empty PostgreSQL database."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000
    place = sys.argv[2] if len(sys.argv) > 2 else None
    if place and "://" in place:
        run(place, count)
        return
    with tempfile.TemporaryDirectory(dir=place) as directory:
        run(str(Path(directory) / "farm.db"), count)
        with (Path(directory) / "fsync").open("wb", buffering=0) as file:
            flushes = []
            for _ in range(100):
                file.write(b"x" * 20_000)
                flushes.append(timed(lambda: os.fsync(file.fileno())))
            say("fsync alone", flushes)


def run(url_or_path: str, count: int) -> None:
    """Fill a ledger, move its clips, ask it questions."""
    store = open_store(url_or_path)
    epoch = store.claim_epoch(1.0)
    submit(store, epoch, count)
    commits(store, epoch, load(store))
    ledger = open_ledger(url_or_path)
    questions(ledger)
    ledger.close()
    store.close()


if __name__ == "__main__":
    main()
