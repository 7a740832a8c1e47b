"""What one start of the coordinator has done, counted where it happens."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from heliostat.v1 import fleet_service_pb2 as fleet_pb


@dataclass(slots=True)
class Stats:
    """Counters from its start on; memory that is read anew leaves them as they are."""

    started_at: float
    """Unix seconds."""
    ticks: int = 0
    tick_seconds: float = 0.0
    commits: int = 0
    commit_seconds: float = 0.0
    leases_granted: int = 0
    leases_expired: int = 0
    """Taken back because their card fell silent, died or was started anew."""
    yields_asked: int = 0

    @contextmanager
    def tick(self, clock: Callable[[], float]) -> Iterator[None]:
        """The block is one look at what is due, `clock` gives monotonic seconds."""
        began = clock()
        try:
            yield
        finally:
            self.ticks += 1
            self.tick_seconds += clock() - began

    @contextmanager
    def commit(self, clock: Callable[[], float]) -> Iterator[None]:
        """The block writes one commit; one that fails is counted too."""
        began = clock()
        try:
            yield
        finally:
            self.commits += 1
            self.commit_seconds += clock() - began

    def view(self, ledger_free_bytes: int | None) -> fleet_pb.CoordinatorStats:
        """For whoever asks."""
        view = fleet_pb.CoordinatorStats(
            ticks=self.ticks,
            tick_seconds=self.tick_seconds,
            commits=self.commits,
            commit_seconds=self.commit_seconds,
            leases_granted=self.leases_granted,
            leases_expired=self.leases_expired,
            yields_asked=self.yields_asked,
            ledger_free_bytes=ledger_free_bytes,
        )
        view.started_at.FromDatetime(datetime.fromtimestamp(self.started_at, tz=UTC))
        return view
