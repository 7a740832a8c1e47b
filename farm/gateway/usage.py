"""What was rendered, made and used, as bookkeepers ask for it."""

from __future__ import annotations

from datetime import date
from functools import partial

from farm.coordinator.usage import usage_view
from farm.domain.usage import UsageRow, parse_day
from farm.gateway.grpc_errors import BadRequest, Context, unary
from farm.gateway.saved_looks import SavedLooks
from farm.ports import Ledger
from heliostat.v1 import fleet_service_pb2 as fleet_pb

_PERIODS = ("day", "month")
_BY = (*_PERIODS, "project")


class UsageCalls(SavedLooks):
    """The call about usage; `FleetService` adds the others."""

    @unary
    async def ListUsage(  # noqa: N802 - the contract's name
        self, request: fleet_pb.ListUsageRequest, _context: Context
    ) -> fleet_pb.ListUsageResponse:
        """Sums by day or month and project. Days are those of UTC."""
        first, last = _day(request.first_day), _day(request.last_day)
        if first and last and last < first:
            raise BadRequest(f"the last day, {last}, is before the first one, {first}")
        by = set(request.by)
        if unknown := sorted(by - set(_BY)):
            raise BadRequest(f"usage is not kept by {', '.join(unknown)}: use {', '.join(_BY)}")
        if by >= set(_PERIODS):
            raise BadRequest("usage is told by day or by month, not by both: name one of them")
        currency = self._desk.rates.tariff.currency

        def read(ledger: Ledger) -> fleet_pb.ListUsageResponse:
            usage = partial(ledger.usage, first=first, last=last, project=request.project or None)
            rows = usage(by=by) if by else []
            (total,) = usage()
            return fleet_pb.ListUsageResponse(
                rows=[_row_view(row, currency) for row in rows],
                total=usage_view(total.usage, currency),
                since=ledger.usage_since(),
            )

        return await self._desk.threads.run(read, self._desk.ledger)


def _day(text: str) -> str:
    """A bound as the ledger has its days; empty is none. Raises `BadRequest`."""
    try:
        day: date | None = parse_day(text) if text else None
    except ValueError as error:
        raise BadRequest(str(error)) from None
    return day.isoformat() if day else ""


def _row_view(row: UsageRow, currency: str) -> fleet_pb.UsageRow:
    return fleet_pb.UsageRow(
        period=row.period, project=row.project or "", usage=usage_view(row.usage, currency)
    )
