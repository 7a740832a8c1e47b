"""What waits, by project and priority, and for how long."""

from __future__ import annotations

from collections.abc import Iterable

from farm.plan.board import Entry
from heliostat.v1 import fleet_service_pb2 as fleet_pb


class Queues:
    """Remembers since when clips of each batch wait without a break, as of the last tick."""

    def __init__(self) -> None:
        self._since: dict[str, float | None] = {}
        """Batch → Unix seconds; None: nothing of it waited."""

    def look(self, entries: Iterable[Entry], unix_now: float) -> None:
        """See which batches have clips that wait.

        Of a batch that is new, or was there before this coordinator, they wait since it came.
        """
        since: dict[str, float | None] = {}
        for entry in entries:
            batch = entry.batch
            if not (entry.queued and entry.is_open):
                since[batch.batch_id] = None
            elif batch.batch_id in self._since:
                since[batch.batch_id] = self._since[batch.batch_id] or unix_now
            else:
                since[batch.batch_id] = batch.created_at
        self._since = since

    def views(self, entries: Iterable[Entry], unix_now: float) -> list[fleet_pb.QueueView]:
        """By project and priority; those of which nothing waits are left out."""
        found: dict[tuple[str, int], fleet_pb.QueueView] = {}
        for entry in entries:
            batch = entry.batch
            if not (entry.queued and entry.is_open):
                continue
            key = (batch.project, batch.priority)
            if key not in found:
                found[key] = fleet_pb.QueueView(project=batch.project, priority=batch.priority)
            view = found[key]
            view.clips += entry.queued
            view.chunks += entry.queued_chunks
            since = self._since.get(batch.batch_id, batch.created_at)
            age = unix_now - (unix_now if since is None else since)
            view.oldest_seconds = max(view.oldest_seconds, age)
        return [found[key] for key in sorted(found)]
