"""What the fleet is worth, by the API: of no card, one, thousands; and what cannot be asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest

from farm.client.economics import request_of, statement_of
from farm.gateway.settings import GatewaySettings
from farm.plan.economics import HELIOS, Basis
from farm.plan.money.comparators import comparators_of
from farm.plan.money.figure import Statement
from farm.plan.money.machines import predicted_rate
from farm.plan.money.scenario import Scenario
from farm.plan.tariff import Tariff
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.fixtures.gateway import TOKEN, Rig, reason_of
from tests.fixtures.simulated_card import outcomes
from tests.gateway.test_exchange import leased

SETTINGS = GatewaySettings(
    api_token=TOKEN,
    model=HELIOS["distilled"],
    tariff=Tariff(card_prices={"rtx-4060-ti": 400.0}, host_price=350.0),
    comparators=comparators_of({"ours": {"title": "our cloud", "generation_price": 3}}),
)


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """A farm that renders with Helios."""
    async with Rig(tmp_path, settings=SETTINGS) as rig:
        yield rig


def join(rig: Rig, cards: int, *, nodes: int = 1) -> None:
    """Cards that have not rendered yet."""
    rig.link.coordinator.exchange(
        [
            node_pb.ExchangeRequest(
                card=node_pb.CardReport(
                    card_id=f"c{number}",
                    node_id=f"n{number % nodes}",
                    hostname=f"h{number % nodes}",
                    incarnation="i",
                    condition="ready",
                    card_type="rtx-4060-ti",
                    vram_bytes=16 << 30,
                    lanes=1,
                ),
                capacity=1,
            )
            for number in range(cards)
        ]
    )


async def asked(rig: Rig, what: Scenario | None = None) -> Statement:
    return statement_of(await rig.fleet.GetEconomics(request_of(what or Scenario())))


def value(told: Statement, table: str, row: str, column: str = "value") -> float:
    found = told.table(table)
    figure = found.cell(row, column) if found else None
    assert figure is not None, (table, row, column)
    return figure.value


async def test_a_farm_without_cards_says_so(rig: Rig) -> None:
    told = await asked(rig)
    fleet = told.table("fleet")
    assert fleet is not None
    assert value(told, "fleet", "cards") == 0
    assert any("no card has joined" in note for note in fleet.notes)
    assert told.table("article") is not None


@pytest.mark.parametrize("cards", [1, 2_000])
async def test_cards_that_have_not_rendered_are_estimated(rig: Rig, cards: int) -> None:
    join(rig, cards, nodes=16)
    told = await asked(rig)
    predicted = predicted_rate("rtx-4060-ti")
    assert predicted is not None
    assert value(told, "fleet", "cards") == cards
    assert value(told, "fleet", "rate") == pytest.approx(cards * predicted.value)
    assert value(told, "fleet", "price_nodes") == cards * 750
    assert value(told, "comparators", "ours", "cost") == 3
    fleet = told.table("fleet")
    assert fleet is not None
    rate = fleet.cell("rate")
    assert rate is not None
    assert rate.basis is Basis.ESTIMATED
    assert any("nothing renders now" in note for note in fleet.notes)


async def test_of_cards_whose_speed_nobody_knows_no_rate_is_told(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:  # test cards: no model predicts them
        join(rig, 2)
        told = await asked(rig)
        fleet = told.table("fleet")
        assert fleet is not None
        assert value(told, "fleet", "cards") == 2
        assert fleet.cell("rate") is None
        assert any("nothing is known of the speed of rtx-4060-ti" in each for each in fleet.notes)


async def test_a_card_that_has_rendered_is_measured(tmp_path: Path) -> None:
    async with Rig(tmp_path) as rig:  # test cards, whose unit of work is a chunk
        join(rig, 1)
        await rig.submit("one")
        (wanted,) = exchange(rig).wanted
        report = node_pb.ChunkReport(
            frames=33, render_seconds=11.0, energy_joules=1_100.0, artifacts=[segment()]
        )
        entry = node_pb.OutboxEntry(
            sequence=1, clip_id=wanted.clip_id, attempt=wanted.attempt, chunk=report
        )
        exchange(rig, entry)
        fleet = (await asked(rig)).table("fleet")
        assert fleet is not None
        rate, watts = fleet.cell("rate"), fleet.cell("watts")
        assert rate is not None
        assert watts is not None
        assert (rate.value, rate.basis) == (3.0, Basis.MEASURED)
        assert (watts.value, watts.basis) == (100.0, Basis.MEASURED)
        assert any("test cards" in note for note in fleet.notes)


def exchange(rig: Rig, *outbox: node_pb.OutboxEntry) -> node_pb.ExchangeResponse:
    request = node_pb.ExchangeRequest(
        card=node_pb.CardReport(
            card_id="c0", node_id="n0", hostname="h0", incarnation="i", condition="ready", lanes=1
        ),
        outbox=outbox,
        capacity=1,
    )
    return rig.link.coordinator.exchange([request])[0]


def segment() -> types_pb.Artifact:
    return types_pb.Artifact(
        kind=types_pb.ARTIFACT_KIND_SEGMENT, sha256="0" * 64, size_bytes=9, key="key/0"
    )


async def test_the_farms_own_month_is_reckoned_with(stored_rig: Rig) -> None:
    card, key = await leased(stored_rig)
    for chunk in (0, 1):
        await card.render_chunk(key, chunk)
    files = {"take": b"the take", "sidecar": b"{}"}
    await card.upload(key, files)
    card.report_take(key, 66, files)
    assert outcomes(await card.exchange()) == ["RECORDED"]
    fleet = (await asked(stored_rig)).table("fleet")
    monthly = fleet.cell("monthly") if fleet else None
    assert monthly is not None
    assert (monthly.value, monthly.basis) == (1, Basis.MEASURED)


async def test_what_is_asked_takes_the_farms_place(rig: Rig) -> None:
    join(rig, 2)
    what = Scenario(
        add_cards=10,
        add_type="rtx-4060-ti",
        electricity_price=0.3,
        cloud_price=4.0,
        monthly=200,
        utilisation=0.5,
        card_prices={"rtx-4060-ti": 500.0},
        host_price=0.0,
        clip_seconds=60.0,
    )
    told = await asked(rig, what)
    assert value(told, "fleet", "price_nodes") == 1_000
    assert value(told, "fleet", "utilisation") == 0.5
    assert value(told, "payback", "cards", "rate") == pytest.approx(4.0 * 200 / 1_000)
    assert value(told, "more", "price_cards", "added") == 5_000
    joules = value(told, "fleet", "joules")
    assert value(told, "fleet", "electricity") == pytest.approx(joules / 3.6e6 * 0.3)


@pytest.mark.parametrize(
    ("request_", "what"),
    [
        (fleet_pb.GetEconomicsRequest(utilization=2.0), "utilisation 2: give a part from 0.001"),
        (fleet_pb.GetEconomicsRequest(add_cards=3), "want both a number and a type"),
        (fleet_pb.GetEconomicsRequest(electricity_price=-1.0), "electricity price -1"),
        (fleet_pb.GetEconomicsRequest(clip_seconds=0.0), "0 seconds of video"),
        (fleet_pb.GetEconomicsRequest(card_prices={"x": float("nan")}), "price of x nan"),
    ],
)
async def test_what_cannot_be_is_refused(
    rig: Rig, request_: fleet_pb.GetEconomicsRequest, what: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError, match=what) as caught:
        await rig.fleet.GetEconomics(request_)
    assert reason_of(caught.value) == "BAD_REQUEST"


async def test_while_the_coordinator_is_away_it_is_said(rig: Rig) -> None:
    rig.link.is_down = True
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await asked(rig)
    assert reason_of(caught.value) == "COORDINATOR_UNAVAILABLE"


async def test_programs_get_it_by_json(rig: Rig) -> None:
    join(rig, 1)
    answer = await rig.post("FleetService/GetEconomics", {"addCards": 2, "addType": "rtx-4090"})
    tables = {table["key"]: table for table in answer.json()["tables"]}
    added = next(row for row in tables["more"]["rows"] if row["key"] == "price_cards")
    assert added["figures"]["added"]["value"] == 3_600
    assert added["figures"]["added"]["basis"] == "assumed"


@pytest.mark.parametrize(
    ("measured", "basis"), [(90_000, Basis.MEASURED), (89_000, Basis.ESTIMATED)]
)
async def test_what_the_farm_has_used_is_reckoned_with(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, measured: float, basis: Basis
) -> None:
    join(rig, 2)
    own = rig.link.fleet

    async def fleet() -> tuple[bytes, list[bytes]]:
        data, cards = await own()
        view = fleet_pb.GetFleetResponse.FromString(data)
        view.usage.CopyFrom(
            fleet_pb.FarmUsage(
                card_seconds=600, idle_card_seconds=400, joules=90_000, idle_joules=10_000,
                money=2.0, idle_money=0.5, delivered_video_seconds=50, currency="USD",
                measured_joules=measured,
            )
        )  # fmt: skip
        return view.SerializeToString(), cards

    monkeypatch.setattr(rig.link, "fleet", fleet)
    told = await asked(rig)
    assert value(told, "fleet", "utilisation") == pytest.approx(0.6)
    assert value(told, "fleet", "life_joules") == pytest.approx(2_000)
    fleet_table = told.table("fleet")
    life_joules = fleet_table.cell("life_joules") if fleet_table else None
    assert life_joules is not None
    assert life_joules.basis is basis
    assert value(told, "fleet", "joules") == pytest.approx(5 * 2_000)
    assert value(told, "fleet", "life_money") == pytest.approx(0.05)
