"""A gateway's quiet duty: it deletes what the ledger has let go, and what lost attempts left.

Both in small steps with limits, so that nobody waits for it. What one step leaves undone, because
something died, a later one finds: an object that no row names is an orphan.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from farm.domain.batch import Batch
from farm.domain.errors import FarmError
from farm.domain.ledger import ClipRow
from farm.gateway.coordinator_link import CoordinatorLink
from farm.gateway.threads import Threads
from farm.objects.sweep import InputSweep, clip_prefix, may_have_orphans, named_by, orphans
from farm.ports import Ledger, ObjectStore

_log = logging.getLogger(__name__)

DAY: Final = 86_400.0

INPUTS_AFTER_SECONDS: Final = 3600.0
"""After its start a gateway sweeps no inputs for so long: the one before it may have told a client
of some that are there, and no submission takes longer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Retention:
    """How long things are kept; takes are kept for ever."""

    chunk_days: float = 30.0
    """Segments and negatives, after their clip ended; 0 is for ever."""
    event_days: float = 0.0
    """Events, after their batch ended; 0 is for ever."""
    step_seconds: float = 10.0
    """Between two steps."""
    clips_per_step: int = 20
    """Clips whose chunks one step lets go, and clips that it looks through for orphans."""
    pass_seconds: float = DAY
    """All clips are looked through for orphans once in so long."""


class Caretaker:
    """Runs in the gateway from its start to its stop."""

    def __init__(
        self,
        retention: Retention,
        ledger: Ledger,
        objects: ObjectStore,
        link: CoordinatorLink,
        threads: Threads,
        registry: CollectorRegistry,
        now: Callable[[], float] = time.time,
        is_promised: Callable[[str], bool] = lambda _key: False,
    ) -> None:
        self._retention = retention
        self._ledger = ledger
        self._objects = objects
        self._link = link
        self._threads = threads
        self._now = now
        self._sweep = Sweep(ledger)
        self._next_pass = 0.0
        self._inputs = InputSweep(ledger, objects, is_promised)
        self._next_inputs = now() + INPUTS_AFTER_SECONDS
        p = "heliostat_retention_"
        self._released = Counter(
            f"{p}clips_released", "Ended clips whose chunks were let go.", registry=registry
        )
        self._events = Counter(
            f"{p}events_deleted", "Events of batches that ended long ago.", registry=registry
        )
        self._deleted = Counter(
            f"{p}objects_deleted", "Objects deleted: let go, or left by lost attempts.", ["why"],
            registry=registry,
        )  # fmt: skip
        self._bytes = Counter(
            f"{p}deleted_bytes", "Bytes of objects that were deleted.", ["why"], registry=registry
        )

    async def run(self) -> None:
        """Take steps until cancelled; one that fails is tried again."""
        while True:
            await asyncio.sleep(self._retention.step_seconds)
            try:
                await self.step()
            except FarmError as error:
                _log.warning("retention waits: %s", error)
            except Exception:  # noqa: BLE001 - the next step may do better
                _log.exception("a step of retention failed")

    async def step(self) -> None:
        """Let go of some chunks, look through some clips, and once a day through the inputs."""
        await self._release()
        if self._now() >= self._next_pass:
            over = await self._threads.run(self._look_through)
            if over:
                self._next_pass = self._now() + self._retention.pass_seconds
        if self._now() >= self._next_inputs:
            self._next_inputs = self._now() + self._retention.pass_seconds
            await self._threads.run(self._sweep_inputs)

    async def _release(self) -> None:
        keep, now = self._retention, self._now()
        released = await self._link.release(
            now - keep.chunk_days * DAY if keep.chunk_days else 0.0,
            now - keep.event_days * DAY if keep.event_days else 0.0,
            keep.clips_per_step,
        )
        self._released.inc(released.clips)
        self._events.inc(released.events)
        sizes = ((stored.key, stored.size_bytes) for stored in released.objects)
        await self._threads.run(self._delete, list(sizes), "released")

    def _look_through(self) -> bool:
        """Delete what some clips' lost attempts left. True when all clips were looked through."""
        clips = self._sweep.next_clips(self._retention.clips_per_step)
        for batch, clip in clips:
            infos = list(self._objects.list(clip_prefix(batch.project, batch.batch_id, clip)))
            clip_id = clip.clip.clip_id
            row = self._ledger.clip_rows([clip_id]).get(clip_id)
            if row is None:
                continue
            named = named_by(row, self._ledger.chunks(clip_id))
            named |= self._ledger.relatives_keys(clip_id)
            left = orphans(infos, row, named, self._now())
            self._delete([(info.key, info.size_bytes) for info in left], "orphan")
        return not clips

    def _sweep_inputs(self) -> None:
        """Delete input files that no clip needs, and what was sent of others long ago."""
        for project in self._ledger.projects():
            left = self._inputs.unneeded(project.name, self._now())
            self._delete(((info.key, info.size_bytes) for info in left), "input")
            for upload in self._inputs.unfinished(project.name, self._now()):
                self._objects.give_up(upload)
                self._deleted.labels("upload").inc()

    def _delete(self, sizes: Iterable[tuple[str, int]], why: str) -> None:
        for key, size in sizes:
            self._objects.delete(key)
            self._deleted.labels(why).inc()
            self._bytes.labels(why).inc(size)


class Sweep:
    """A walk through all clips that may have left something behind, a few at a time."""

    PAGE: Final = 500

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._batch: Batch | None = None
        self._before = ""
        self._after = 0
        self._waiting: list[tuple[Batch, ClipRow]] = []

    def next_clips(self, limit: int) -> list[tuple[Batch, ClipRow]]:
        """At most so many; none when the walk is over, and the next call begins anew."""
        while len(self._waiting) < limit and self._read_page():
            pass
        found, self._waiting = self._waiting[:limit], self._waiting[limit:]
        if not found:
            self._batch, self._before, self._after = None, "", 0
        return found

    def _read_page(self) -> bool:
        """Read some rows more; False when there are none."""
        if self._batch is None:
            batches = self._ledger.batches(limit=1, before=self._before)
            if not batches:
                return False
            self._batch, self._after = batches[0], 0
        rows = self._ledger.clips(self._batch.batch_id, limit=self.PAGE, after=self._after)
        self._waiting += [(self._batch, row) for row in rows if may_have_orphans(row)]
        if rows:
            self._after = rows[-1].clip.ordinal
        else:
            self._before, self._batch = self._batch.batch_id, None
        return True
