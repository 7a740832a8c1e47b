"""What the fleet is worth, through the SDK."""

from __future__ import annotations

from farm.client.base import Calls
from farm.plan.economics import Basis
from farm.plan.money.figure import Figure, Row, Statement, Table
from farm.plan.money.scenario import Scenario
from heliostat.v1 import fleet_service_pb2 as pb


class Economics(Calls):
    """A part of `Farm`."""

    def economics(self, what_if: Scenario | None = None) -> pb.GetEconomicsResponse:
        """The fleet beside an H100, clouds and other models; with other figures in their place.

        Raises `BadRequest` for figures that cannot be.
        """
        request = request_of(what_if or Scenario())
        return self._connection.call(self._fleet.GetEconomics, request)


def request_of(what_if: Scenario) -> pb.GetEconomicsRequest:
    """What is asked, as a message."""
    return pb.GetEconomicsRequest(
        add_cards=what_if.add_cards,
        add_type=what_if.add_type,
        electricity_price=what_if.electricity_price,
        card_prices=what_if.card_prices,
        host_price=what_if.host_price,
        cloud_price=what_if.cloud_price,
        h100_hour_price=what_if.h100_hour_price,
        utilization=what_if.utilisation,
        monthly_generations=what_if.monthly,
        clip_seconds=what_if.clip_seconds,
    )


def statement_of(answer: pb.GetEconomicsResponse) -> Statement:
    """An answer as the tables that the farm's arithmetic makes."""
    return Statement(answer.currency, tuple(_table(table) for table in answer.tables))


def _table(table: pb.EconomicsTable) -> Table:
    return Table(
        table.key,
        table.title,
        {column.key: column.title for column in table.columns},
        tuple(_row(row) for row in table.rows),
        tuple(table.notes),
    )


def _row(row: pb.EconomicsRow) -> Row:
    cells = {
        key: Figure(figure.value, figure.unit, Basis(figure.basis), figure.source)
        for key, figure in row.figures.items()
    }
    return Row(row.key, row.label, cells, row.note)
