"""What the farm rendered, made and used, as a method of a `Farm`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from farm.client.base import Calls
from heliostat.v1 import fleet_service_pb2 as pb


class UsageCalls(Calls):
    """Sums by day and project."""

    def usage(
        self,
        *,
        by: Sequence[str] = ("day", "project"),
        first: date | None = None,
        last: date | None = None,
        project: str = "",
    ) -> pb.ListUsageResponse:
        """Sums by "day" or "month" and "project", of the days from `first` to `last`, in UTC.

        Without a project of all, with what is nobody's: cards without a clip.
        """
        request = pb.ListUsageRequest(
            by=by,
            first_day=first.isoformat() if first else "",
            last_day=last.isoformat() if last else "",
            project=project,
        )
        return self._connection.call(self._fleet.ListUsage, request)
