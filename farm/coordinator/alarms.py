"""What of the open batches wants a person's look, by project."""

from __future__ import annotations

from collections.abc import Callable

from farm.coordinator import spending
from farm.coordinator.books import Books
from farm.coordinator.sickness import too_many_failed
from heliostat.v1 import fleet_service_pb2 as fleet_pb


def alarms(books: Books, is_late: Callable[[str], bool]) -> list[fleet_pb.ProjectAlarms]:
    """By project; those of which all is well are left out.

    `is_late` says whether a batch's deadline cannot be kept. A paused batch is at its budget, or
    failing, by what is counted of it, not by who paused it.
    """
    found: dict[str, fleet_pb.ProjectAlarms] = {}
    for entry in books.clips.entries():
        batch, used = entry.batch, spending.budget_used(books, entry.batch)
        late = entry.is_open and batch.deadline is not None and is_late(batch.batch_id)
        near, reached = spending.NEAR <= used < 1, used >= 1
        failing = not entry.is_open and bool(too_many_failed(books, entry))
        if late or near or reached or failing:
            view = found.setdefault(batch.project, fleet_pb.ProjectAlarms(project=batch.project))
            view.deadlines_at_risk += late
            view.budgets_near += near
            view.budgets_reached += reached
            view.failing += failing
    return [found[project] for project in sorted(found)]
