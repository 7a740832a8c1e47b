"""A gateway's errand: it writes the takes of batches that ask for it into a mounted folder.

Nothing is remembered but how far it has read: after a restart the folder's manifest says what is
there. Several gateways share the work by the folder's locks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from prometheus_client import CollectorRegistry, Counter

from farm.delivery.download import Downloader, Stopped
from farm.delivery.folder import Folder
from farm.domain.batch import Batch
from farm.domain.clip import ClipState
from farm.domain.errors import BadDecision, FarmError
from farm.domain.ledger import ClipRow
from farm.domain.query import ClipQuery
from farm.domain.values import shown
from farm.gateway.threads import Threads
from farm.gateway.views import batch_views, clip_views
from farm.ports import EVERY_CLIP, Ledger, ObjectStore
from heliostat.v1 import types_pb2 as types_pb

_log = logging.getLogger(__name__)

STEP_SECONDS: Final = 2.0
_PAGE: Final = 200
_EVENTS: Final = 1000
_PARALLEL: Final = 4
_REST_STEPS: Final = 30
"""Steps that a batch rests after its folder could not be written."""


def delivery_directory(text: str, allowed: Collection[Path]) -> Path:
    """The folder that a batch may be delivered to. Raises `BadDecision`."""
    if not allowed:
        raise BadDecision(
            f"takes cannot be delivered to {shown(text)}, for the farm has no directory for that: "
            "set `deliveries` where the farm is started, or use `farm fetch --follow`"
        )
    path, within = Path(text), " or ".join(map(str, allowed))
    if not path.is_absolute():
        raise BadDecision(
            f"takes cannot be delivered to {shown(text)}, which is no absolute path: "
            f"name a folder in {within}"
        )
    real = path.resolve()
    if not any(each.is_dir() and real.is_relative_to(each.resolve()) for each in allowed):
        raise BadDecision(
            f"takes cannot be delivered to {shown(text)}, which is outside of what the farm may "
            f"write, or not mounted: name a folder in {within}"
        )
    return real


def check_delivery(
    text: str, allowed: Collection[Path], ledger: Ledger, batch_id: str = ""
) -> None:
    """Raise `BadDecision` where a batch (of an id, or a new one) cannot be delivered to."""
    directory = delivery_directory(text, allowed)
    for batch in ledger.delivering():
        if batch.batch_id != batch_id and Path(batch.deliver_to).resolve() == directory:
            raise BadDecision(
                f"takes cannot be delivered to {shown(text)}, where those of batch "
                f"{batch.batch_id} go: name a folder of its own"
            )


@dataclass(slots=True)
class _Target:
    """A batch's folder, and what is still to be brought there."""

    folder: Folder
    walked: int | None = 0
    """Ordinal up to which all clips were looked at; None: to the end, events tell the rest."""
    due: dict[str, None] = field(default_factory=dict)
    """Ids of clips to bring, or to look at again."""


class Deliveries:
    """Runs in the gateway from its start to its stop."""

    def __init__(
        self,
        allowed: Sequence[Path],
        ledger: Ledger,
        objects: ObjectStore,
        registry: CollectorRegistry,
    ) -> None:
        self._allowed = allowed
        self._ledger = ledger
        self._objects = objects
        self._threads = Threads(1, "deliveries")
        self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="delivery")
        self._downloader = Downloader(connections=_PARALLEL, on_bytes=self._count)
        self._targets: dict[tuple[str, str], _Target] = {}
        self._resting: dict[tuple[str, str], int] = {}
        self._after: int | None = None
        p = "heliostat_delivery_"
        self._takes = Counter(f"{p}takes", "Takes brought to folders.", registry=registry)
        self._bytes = Counter(f"{p}bytes", "Bytes written for that.", registry=registry)
        self._failures = Counter(
            f"{p}failures", "Takes and folders that have to be tried again.", registry=registry
        )

    async def run(self) -> None:
        """Take steps until cancelled."""
        while self._allowed:
            more = False
            try:
                more = await self._threads.run(self.step)
            except FarmError as error:
                _log.warning("deliveries wait: %s", error)
            except Exception:  # noqa: BLE001 - the next step may do better
                _log.exception("a step of the deliveries failed")
            await asyncio.sleep(0 if more else STEP_SECONDS)

    def close(self) -> None:
        """Break off what is being written; a later start goes on from there."""
        self._downloader.stop.set()
        self._pool.shutdown(wait=True, cancel_futures=True)
        self._threads.close()
        for target in self._targets.values():
            try:
                target.folder.save(at_once=True)
            except (FarmError, OSError) as error:
                _log.warning("%s: %s", target.folder.directory, error)
        self._downloader.close()

    def step(self) -> bool:
        """Bring some takes of each batch; True while there are more at once."""
        more = False
        if self._after is None:
            self._after = self._ledger.last_sequence()
        batches = {(b.batch_id, b.deliver_to): b for b in self._ledger.delivering()}
        for key in self._targets.keys() - batches.keys():
            self._targets.pop(key).folder.save(at_once=True)
        self._hear()
        for key, batch in batches.items():
            if self._downloader.stop.is_set():
                break
            if (left := self._resting.get(key, 0)) > 0:
                self._resting[key] = left - 1
                continue
            try:
                more |= self._serve(batch, self._target(key, batch))
            except (FarmError, OSError) as error:
                self._failures.inc()
                self._resting[key] = _REST_STEPS
                _log.warning(
                    "batch %s is not delivered to %s: %s", batch.batch_id, batch.deliver_to, error
                )
        return more

    def _target(self, key: tuple[str, str], batch: Batch) -> _Target:
        target = self._targets.get(key)
        if target is None:
            directory = delivery_directory(batch.deliver_to, self._allowed)
            view = batch_views(self._ledger, [batch])[0]
            target = self._targets[key] = _Target(Folder(directory, view))
        return target

    def _hear(self) -> None:
        """What has landed, or was said of it, since the last step."""
        by_batch = {key[0]: target for key, target in self._targets.items()}
        while True:
            events = self._ledger.events(after=self._after or 0, limit=_EVENTS)
            for event in events:
                self._after = event.sequence
                target = by_batch.get(event.batch_id)
                if target is not None and event.to_state == ClipState.DONE:
                    target.due[event.clip_id] = None
            if len(events) < _EVENTS:
                return

    def _serve(self, batch: Batch, target: _Target) -> bool:
        """Bring a page of a batch's takes; True where the next one can follow at once."""
        asked: list[str] = []
        if target.walked is not None:
            after, query = target.walked, EVERY_CLIP
        elif asked := list(target.due)[:_PAGE]:
            after, query = 0, ClipQuery(clips=asked)
        else:
            target.folder.save(at_once=False)
            return False
        rows = self._ledger.clips(
            batch.batch_id, limit=_PAGE, after=after, states=[ClipState.DONE], query=query
        )
        for clip_id in asked:
            del target.due[clip_id]
        again = self._bring(target.folder, clip_views(self._ledger, rows))
        self._see_earlier(batch, target, rows)
        target.due.update(dict.fromkeys(again))
        if target.walked is not None:
            target.walked = rows[-1].clip.ordinal if len(rows) == _PAGE else None
        over = target.walked is None and not target.due
        target.folder.save(at_once=over)
        return not over and len(again) < len(rows)

    def _see_earlier(self, batch: Batch, target: _Target, rows: Sequence[ClipRow]) -> None:
        """Versions before these are the latest no more."""
        if names := {row.name for row in rows if row.version > 1}:
            found = self._ledger.clips(
                batch.batch_id, limit=10 * _PAGE, query=ClipQuery(clips=names)
            )
            target.folder.see_anew(clip_views(self._ledger, found))

    def _bring(self, folder: Folder, clips: Iterable[types_pb.Clip]) -> list[str]:
        """Have these takes in the folder; returns ids of those to be tried again."""
        again = []
        waiting = [(clip, self._pool.submit(self._bring_one, folder, clip)) for clip in clips]
        for clip, future in waiting:
            error = future.exception()
            if isinstance(error, FarmError | OSError):
                self._failures.inc()
                _log.warning("clip %s is not delivered yet: %s", clip.clip_id, error)
                again.append(clip.clip_id)
            elif error is not None and not isinstance(error, Stopped):
                raise error
            elif error is not None or not future.result():
                again.append(clip.clip_id)
        return again

    def _bring_one(self, folder: Folder, clip: types_pb.Clip) -> bool:
        """False: another gateway is at it."""

        def url(artifact: types_pb.Artifact) -> str:
            return self._objects.presign_get(artifact.key)

        landed = folder.land(clip, lambda artifact: lambda _fresh: url(artifact), self._downloader)
        if landed is not None and landed.downloaded:
            self._takes.inc()
        return landed is not None

    def _count(self, size: int) -> None:
        self._bytes.inc(size)
