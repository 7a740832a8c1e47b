"""The coordinator: what waits, what it does all day, and what wants a person's look."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from farm.gateway.fleet_view import Fleet
from farm.gateway.metrics.text import Family, counter, gauge, summary

_ALARMS: Final = (
    ("deadlines_at_risk", "Open batches whose deadlines cannot be kept."),
    ("budgets_near", "Batches that have used nine tenths of a budget."),
    ("budgets_reached", "Batches that wait because they have used up a budget."),
    ("failing", "Batches that are paused because too many of their clips failed."),
)
"""Field of `ProjectAlarms`, and what it counts."""


def families(fleet: Fleet) -> Iterator[Family]:
    """Its counters are of one start, as `coordinator_start_time_seconds` tells."""
    yield gauge(
        "coordinator_epoch", "The coordinator's epoch; grows with each start.", fleet.view.epoch
    )
    yield from _stats(fleet)
    yield from _queues(fleet)
    yield from _alarms(fleet)


def _stats(fleet: Fleet) -> Iterator[Family]:
    told = fleet.view.coordinator if fleet.view.HasField("coordinator") else None
    yield gauge(
        "coordinator_start_time_seconds",
        "When the coordinator started, Unix time.",
        told and told.started_at.ToNanoseconds() / 1e9,
    )
    yield summary(
        "plan_tick_seconds",
        "The coordinator's looks at what is due: expiries, deadlines, yields.",
        told and told.tick_seconds,
        told and told.ticks,
    )
    yield summary(
        "commit_seconds",
        "Commits to the ledger.",
        told and told.commit_seconds,
        told and told.commits,
    )
    yield counter("leases_granted_total", "Leases given to cards.", told and told.leases_granted)
    yield counter(
        "leases_expired_total",
        "Leases taken back because their cards fell silent or died.",
        told and told.leases_expired,
    )
    yield counter(
        "yields_asked_total",
        "Leases that cards were asked to give up at a chunk boundary.",
        told and told.yields_asked,
    )
    yield gauge(
        "store_free_bytes",
        "Room where the ledger lies; absent where that is another machine's database.",
        told.ledger_free_bytes if told and told.HasField("ledger_free_bytes") else None,
    )


def _queues(fleet: Fleet) -> Iterator[Family]:
    clips = gauge("queue_clips", "Clips that wait for a card.")
    chunks = gauge("queue_chunks", "Chunks that are left of them.")
    age = gauge("queue_age_seconds", "Since when clips of the batch that has waited longest wait.")
    for queue in fleet.view.queues:
        labels = {"project": queue.project, "priority": str(queue.priority)}
        clips.add(queue.clips, **labels)
        chunks.add(queue.chunks, **labels)
        age.add(queue.oldest_seconds, **labels)
    yield from (clips, chunks, age)


def _alarms(fleet: Fleet) -> Iterator[Family]:
    """Of every project, 0 where all is well."""
    found = {alarm.project: alarm for alarm in fleet.view.alarms}
    for field, text in _ALARMS:
        name = "batches_failing" if field == "failing" else field
        family = gauge(name, text)
        for project in sorted({*fleet.projects, *found}):
            value = getattr(found[project], field) if project in found else 0
            family.add(value, project=project)
        yield family
