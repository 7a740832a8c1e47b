"""What the fleet is worth: made here, from the coordinator's picture of the farm."""

from __future__ import annotations

from functools import partial
from typing import Final

from farm.domain.fleet import CardFacts
from farm.domain.usage import SECONDS_OF_DAY, day_of
from farm.gateway.desk import Desk
from farm.gateway.fleet_view import Fleet
from farm.gateway.grpc_errors import BadRequest, Context, unary
from farm.plan.card_table import card_of
from farm.plan.card_time import Run, offloaded, predict
from farm.plan.economics import Basis
from farm.plan.money.figure import Figure, Row, Statement, Table
from farm.plan.money.machines import Machines, live, reference_work
from farm.plan.money.scenario import Prices, Scenario
from farm.plan.money.statement import statement
from farm.plan.picture import Picture
from farm.plan.seating import paced
from farm.ports import Ledger
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1.fleet_service_pb2_grpc import FleetServiceServicer

MONTH_SECONDS: Final = 30 * 86_400.0


class Economics(FleetServiceServicer):
    """The call about money; `FleetService` adds the others."""

    _desk: Desk

    @unary
    async def GetEconomics(  # noqa: N802 - the contract's name
        self, request: fleet_pb.GetEconomicsRequest, _context: Context
    ) -> fleet_pb.GetEconomicsResponse:
        """The fleet beside an H100, clouds and other models."""
        return _view(await reckoned(self._desk, _scenario(request)))


async def reckoned(desk: Desk, asked: Scenario) -> Statement:
    """All tables of the fleet as it is now. Raises `BadRequest`, `CoordinatorUnavailable`."""
    if problems := asked.problems():
        raise BadRequest("; ".join(problems))
    fleet = await desk.fleet.get()
    picture = await desk.link.picture()
    monthly = await desk.threads.run(_monthly, desk.ledger, picture.at)
    return await desk.threads.run(partial(_statement, desk, asked, fleet, picture, monthly))


def _statement(
    desk: Desk,
    asked: Scenario,
    fleet: Fleet,
    picture: Picture,
    monthly: Figure | None,
) -> Statement:
    rates, baseline = desk.rates, desk.rates.baseline
    prices = Prices(rates.tariff, asked)
    cards = paced(picture.cards, partial(_predicted, desk))
    view, usage = fleet.view, fleet.view.usage
    scaled = rates.model is not None and fleet.basis is Basis.ESTIMATED
    groups = live(cards, prices, rates.model, baseline, scaled=scaled)
    machines = Machines(
        groups=groups,
        is_there=True,
        rendering=_measured(view.rendered_frames_per_second, "FPS", "over the last minute"),
        backlog_seconds=view.backlog_seconds if view.HasField("backlog_seconds") else None,
        utilisation=_utilisation(usage),
        monthly=monthly,
        joules_per_second=_joules(usage),
        money_per_second=_money(usage),
        is_testcard=rates.model is None,
    )
    return statement(machines, prices, desk.comparators, baseline, rates.model)


def _predicted(desk: Desk, facts: CardFacts) -> float | None:
    """The card model's pace of a card for the reference work."""
    card, model = card_of(facts.card_type, facts.vram_bytes), desk.rates.model
    if card is None or model is None:
        return None
    work = reference_work(model, desk.rates.baseline)
    return predict(card, offloaded(card, Run(), model), model, work).seconds / desk.rates.cost(work)


def _monthly(ledger: Ledger, now: float) -> Figure | None:
    """Clips delivered in the last 30 days, today counted in; None where there are none."""
    (month,) = ledger.usage(first=day_of(now - MONTH_SECONDS + SECONDS_OF_DAY))
    clips = month.usage.clips_delivered
    return _measured(clips, "clips", "delivered in the last 30 days") if clips else None


def _utilisation(usage: fleet_pb.FarmUsage) -> Figure | None:
    whole = usage.card_seconds + usage.idle_card_seconds
    if usage.card_seconds <= 0:
        return None
    return _measured(usage.card_seconds / whole, "", "rendering / online, since the farm began")


def _joules(usage: fleet_pb.FarmUsage) -> Figure | None:
    """Idle joules are counted only where a sensor measures them."""
    joules, seconds = usage.joules + usage.idle_joules, usage.delivered_video_seconds
    if joules <= 0 or seconds <= 0:
        return None
    all_measured = usage.measured_joules >= usage.joules
    basis = Basis.MEASURED if all_measured else Basis.ESTIMATED
    return Figure(joules / seconds, "J", basis, "joules / delivered seconds, since the farm began")


def _money(usage: fleet_pb.FarmUsage) -> Figure | None:
    seconds, money = usage.delivered_video_seconds, usage.money + usage.idle_money
    if seconds <= 0:
        return None
    source = "electricity and wear / delivered seconds, waste and idling in, since the farm began"
    return Figure(money / seconds, usage.currency, Basis.ASSUMED, source)


def _measured(value: float, unit: str, source: str) -> Figure:
    return Figure(value, unit, Basis.MEASURED, source)


def _scenario(request: fleet_pb.GetEconomicsRequest) -> Scenario:
    def given(name: str) -> float | None:
        return float(getattr(request, name)) if request.HasField(name) else None  # type: ignore[arg-type]

    usual = Scenario()
    return Scenario(
        add_cards=request.add_cards,
        add_type=request.add_type.strip().lower(),
        electricity_price=given("electricity_price"),
        card_prices=dict(request.card_prices),
        host_price=given("host_price"),
        cloud_price=given("cloud_price"),
        h100_hour_price=given("h100_hour_price"),
        utilisation=given("utilization"),
        monthly=given("monthly_generations"),
        clip_seconds=request.clip_seconds
        if request.HasField("clip_seconds")
        else usual.clip_seconds,
    )


def _view(found: Statement) -> fleet_pb.GetEconomicsResponse:
    return fleet_pb.GetEconomicsResponse(
        currency=found.currency, tables=[_table_view(table) for table in found.tables]
    )


def _table_view(table: Table) -> fleet_pb.EconomicsTable:
    return fleet_pb.EconomicsTable(
        key=table.key,
        title=table.title,
        columns=[fleet_pb.EconomicsColumn(key=k, title=v) for k, v in table.columns.items()],
        rows=[_row_view(row) for row in table.rows],
        notes=table.notes,
    )


def _row_view(row: Row) -> fleet_pb.EconomicsRow:
    view = fleet_pb.EconomicsRow(key=row.key, label=row.label, note=row.note)
    for key, figure in row.cells.items():
        view.figures[key].CopyFrom(
            fleet_pb.Figure(
                value=figure.value, unit=figure.unit, basis=figure.basis, source=figure.source
            )
        )
    return view
