"""The real coordinator in its Ray process, with a clock on its writer."""

import threading
import time
from collections.abc import Sequence
from typing import Any

import psutil
from sqlalchemy import event
from writer_clock import WriterClock

from farm.domain.ledger import Commit
from farm.fleet_ray.coordinator_actor import CoordinatorActor
from farm.store import SqlStore
from heliostat.v1 import node_service_pb2 as node_pb

COMMIT = "commit: rows, SQLAlchemy"
READS = "reads of the ledger"


class MeasuredCoordinator(CoordinatorActor):
    """`CoordinatorActor` that says where its time goes."""

    def __init__(self, data_dir: str) -> None:
        super().__init__(data_dir)
        self._clock = WriterClock()
        self._commits: list[float] = []
        self._writer_id = self._writer.submit(self._begin_to_time).result()
        self._began = (time.monotonic(), self._cpu())

    async def watch(self) -> None:
        """Begin to watch the writer."""
        await self._call(self._clock.restart)
        self._commits.clear()
        self._began = (time.monotonic(), self._cpu())

    async def watched(self) -> dict[str, Any]:
        """Shares of the writer's time, seconds of each commit, CPU seconds a second by thread."""
        seconds, cpu = time.monotonic() - self._began[0], self._cpu()
        shares = await self._call(self._clock.shares)
        return {
            "seconds": seconds,
            "shares": shares,
            "commit_seconds": list(self._commits),
            "cpus": {name: (value - self._began[1][name]) / seconds for name, value in cpu.items()},
        }

    async def counts(self) -> tuple[int, int, int]:
        """Chunks recorded, clips delivered, stale reports, as the coordinator counts them."""
        totals = self._coordinator.books.totals
        return totals.chunks_recorded, totals.clips_delivered, totals.stale_reports

    def _exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        with self._clock.phase("parse"):
            parsed = [node_pb.ExchangeRequest.FromString(raw) for raw in requests]
        with self._clock.phase("the rest of the exchange"):
            answers = self._coordinator.exchange(parsed)
        with self._clock.phase("serialise"):
            return [answer.SerializeToString() for answer in answers]

    def _begin_to_time(self) -> int:
        """In the writer's thread: put the clock around its phases. Returns the thread's id."""
        clock, coordinator = self._clock, self._coordinator
        dispatch, books = coordinator._dispatch, coordinator.books
        for owner, name, phase in (
            (coordinator, "_absorb", "absorb"),
            (coordinator, "tick", "tick"),
            (books, "settle", "choose"),
            (dispatch, "open", "choose"),
            (dispatch, "serve", "choose"),
        ):
            setattr(owner, name, clock.timed(phase, getattr(owner, name)))
        self._time_store(coordinator.store)
        return threading.get_native_id()

    def _time_store(self, store: Any) -> None:
        assert isinstance(store, SqlStore)
        clock, engine, commit = self._clock, store._engine, store.commit
        end = engine.dialect.do_commit

        def timed_commit(epoch: int, at: float, what: Commit) -> None:
            began = time.perf_counter()
            commit(epoch, at, what)
            self._commits.append(time.perf_counter() - began)

        def before(*_: Any) -> None:
            clock.enter("commit: statements" if clock.is_within(COMMIT) else READS)

        def after(*_: Any) -> None:
            clock.leave()

        def timed_end(connection: Any) -> None:
            with clock.phase("commit: to the disk" if clock.is_within(COMMIT) else READS):
                end(connection)

        store.commit = clock.timed(COMMIT, timed_commit)  # type: ignore[method-assign]
        event.listen(engine, "before_cursor_execute", before)
        event.listen(engine, "after_cursor_execute", after)
        engine.dialect.do_commit = timed_end  # type: ignore[method-assign]

    def _cpu(self) -> dict[str, float]:
        """CPU seconds so far: of the writer, of the event loop, of Ray's own threads."""
        names = {self._writer_id: "writer", threading.get_native_id(): "event loop"}
        seconds = {"writer": 0.0, "event loop": 0.0, "Ray's threads": 0.0}
        for thread in psutil.Process().threads():
            name = names.get(thread.id, "Ray's threads")
            seconds[name] += thread.user_time + thread.system_time
        return seconds
