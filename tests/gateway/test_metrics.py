"""The metrics page against its documentation, its limits, and what restarts must not do to it."""

from __future__ import annotations

import asyncio
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from farm.coordinator import Coordinator
from farm.domain.errors import ObjectMismatch, ObjectMissing, ObjectStoreUnavailable
from farm.gateway.fleet_view import Fleet
from farm.gateway.metrics import economics, metered
from farm.gateway.metrics.fleet_page import FleetPage, of_fleet, of_gateway
from farm.gateway.metrics.storage import OPERATIONS
from farm.gateway.metrics.text import Family
from farm.plan.economics import Basis
from farm.plan.tariff import Tariff
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.conftest import require_program
from tests.fixtures.full_fleet import as_sent, full_cards, full_view
from tests.fixtures.gateway import Rig
from tests.fixtures.simulated_card import SimulatedCard
from tests.gateway.test_server import rendering, samples

DOCS = Path(__file__).parents[2] / "docs/metrics.md"
ROW = re.compile(r"^\| `(heliostat_\w+)` \| (\w+)[^|]* \| [^|]+ \| ([^|]*)\| \S[^|]+ \|$", re.M)
TYPE = re.compile(r"^# TYPE (\S+) (\S+)$", re.M)
SERIES = re.compile(r"^(heliostat_\w+?)(?:_bucket|_sum|_count)?(?:{(.*)})? \S+$", re.M)
LABEL = re.compile(r'(\w+)="')


def documented() -> dict[str, tuple[str, set[str]]]:
    """Name → type and labels."""
    rows = ROW.findall(DOCS.read_text())
    assert len({name for name, _, _ in rows}) == len(rows), "each metric has one row"
    return {name: (kind, set(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def fleet(view: fleet_pb.GetFleetResponse, cards: list[types_pb.Card], *projects: str) -> Fleet:
    return Fleet(view, cards, Basis.ESTIMATED, projects)


def on_page(view: fleet_pb.GetFleetResponse, cards: list[types_pb.Card]) -> dict[str, float]:
    page = FleetPage(CollectorRegistry(), Tariff(card_prices={"rtx-4060-ti": 400.0}))
    return samples(page.write(fleet(view, cards)).decode())


@pytest.fixture
async def full_page(rig: Rig) -> str:
    """A real gateway's page, of a fleet of which everything is known."""

    async def everything() -> tuple[bytes, list[bytes]]:
        return as_sent(full_view(3), full_cards(3))

    rig.link.fleet = everything  # type: ignore[method-assign]
    status, page = await rig.get("/metrics")
    assert status == 200
    return page


class TestDocumentation:
    async def test_what_is_on_the_page_is_documented_and_the_other_way_round(
        self, full_page: str
    ) -> None:
        kinds = dict(TYPE.findall(full_page))
        assert kinds == {name: kind for name, (kind, _) in documented().items()}

    async def test_what_the_source_can_emit_is_all_on_that_page(self, full_page: str) -> None:
        nothing = fleet(fleet_pb.GetFleetResponse(), [])
        families: list[Family] = [
            *of_gateway(nothing),
            *of_fleet(nothing, Tariff(), economics.Highest()),
        ]
        assert len(families) > 80
        assert {each.name for each in families} <= dict(TYPE.findall(full_page)).keys()

    async def test_labels_are_as_documented(self, full_page: str) -> None:
        known = documented()
        for name, labels in SERIES.findall(full_page):
            found = set(LABEL.findall(labels)) - {"le"}
            assert found == known[name][1], name

    async def test_promtool_has_no_complaint_of_a_full_page(self, full_page: str) -> None:
        checked = await asyncio.to_thread(
            subprocess.run, [require_program("promtool"), "check", "metrics"], input=full_page,
            text=True, capture_output=True, check=False,
        )  # fmt: skip
        assert (checked.returncode, checked.stdout + checked.stderr) == (0, "")


class TestLimits:
    async def test_a_card_of_which_everything_is_known_has_at_most_100_series(
        self, full_page: str
    ) -> None:
        of_card = [line for line in full_page.splitlines() if 'card="node-0-1"' in line]
        assert 35 < len(of_card) <= 100

    def test_no_label_is_named_by_what_is_rendered(self) -> None:
        named = set().union(*(labels for _, labels in documented().values()))
        assert not {each for each in named if re.search("clip|batch|prompt|look|shot", each)}

    async def test_no_label_is_valued_by_what_is_rendered(self, stored_rig: Rig) -> None:
        _, key = await rendering(stored_rig)
        _, page = await stored_rig.get("/metrics")
        assert 'heliostat_queue_clips{priority="0",project="default"}' in page
        for secret in ("a fox", "shots", "clip1", key[0], key[0].partition("-")[0]):
            assert secret not in page


class TestAbsence:
    def test_of_an_empty_farm_there_are_numbers_and_no_ratios(self) -> None:
        found = on_page(fleet_pb.GetFleetResponse(), [])
        assert found["heliostat_frames_rendered_total"] == 0
        assert found['heliostat_cards{state="online"}'] == 0
        for name in (
            "utilization_ratio", "calibrated_ratio", "fleet_power_watts", "fleet_price",
            "frames_per_second_per_kilowatt", "frames_per_second_per_1000", "queue_clips",
            "joules_per_delivered_second", "card_seconds_total", "coordinator_start_time_seconds",
            "leases_granted_total", "store_free_bytes", "waste_frames_total",
        ):  # fmt: skip
            assert not any(each.startswith(f"heliostat_{name}") for each in found), name

    def test_a_farm_that_has_delivered_nothing_has_no_cost_per_second(self) -> None:
        view = fleet_pb.GetFleetResponse(usage=fleet_pb.FarmUsage(joules=5.0, currency="USD"))
        found = on_page(view, [])
        assert found['heliostat_energy_joules_total{use="render"}'] == 5
        assert not any("per_delivered_second" in name for name in found)

    def test_cards_that_are_off_tell_what_they_counted_and_no_readings(self) -> None:
        [card] = full_cards(1)
        card.online = False
        found = on_page(fleet_pb.GetFleetResponse(cards=1), [card])
        assert found['heliostat_card_passes_total{card="node-0-0"}'] > 0
        assert found['heliostat_card_energy_joules_total{card="node-0-0",method="counter"}'] > 0
        for name in ("power_watts", "clock_ahead_seconds", "spool_free_bytes"):
            assert f'heliostat_card_{name}{{card="node-0-0"}}' not in found


class TestSums:
    def test_power_is_of_the_cards_that_measure_it_and_so_are_their_frames(self) -> None:
        cards = full_cards(3)
        for card, watts, frames in zip(cards, (150.0, 50.0, None), (2.0, 1.0, 7.0), strict=True):
            card.frames_per_second = frames
            card.telemetry.ClearField("power_watts")
            if watts is not None:
                card.telemetry.power_watts = watts
        found = on_page(fleet_pb.GetFleetResponse(), cards)
        assert found["heliostat_fleet_power_watts"] == 200
        assert found["heliostat_frames_per_second_per_kilowatt"] == pytest.approx(3 / 0.2)

    def test_prices_are_of_cards_alone_and_of_whole_machines(self) -> None:
        view = fleet_pb.GetFleetResponse(rendered_frames_per_second=155.0)
        found = on_page(view, full_cards(62))
        cards, nodes = ('currency="USD",of="cards"', 'currency="USD",of="nodes"')
        assert found[f"heliostat_fleet_price{{{cards}}}"] == 62 * 400
        assert found[f"heliostat_fleet_price{{{nodes}}}"] == 62 * 750
        per = "heliostat_frames_per_second_per_1000"
        assert found[f"{per}{{{cards}}}"] == pytest.approx(155 / 24.8)
        assert found[f"{per}{{{nodes}}}"] == pytest.approx(155 / 46.5)

    def test_whole_life_costs_count_waste_and_idling_in(self) -> None:
        usage = fleet_pb.FarmUsage(
            joules=900.0, waste_joules=300.0, idle_joules=100.0, delivered_video_seconds=10.0,
            money=9.0, waste_money=3.0, idle_money=1.0, currency="EUR",
        )  # fmt: skip
        found = on_page(fleet_pb.GetFleetResponse(usage=usage), [])
        uses = {use: f'heliostat_energy_joules_total{{use="{use}"}}' for use in ("render", "waste")}
        assert [found[name] for name in uses.values()] == [600, 300]
        assert found["heliostat_joules_per_delivered_second"] == 100
        assert found['heliostat_money_per_delivered_second{currency="EUR"}'] == 1

    def test_every_project_has_its_alarms_be_there_none(self) -> None:
        view = fleet_pb.GetFleetResponse(
            alarms=[fleet_pb.ProjectAlarms(project="show", budgets_near=2)]
        )
        page = FleetPage(CollectorRegistry(), Tariff())
        found = samples(page.write(fleet(view, [], "default", "show")).decode())
        assert found['heliostat_budgets_near{project="show"}'] == 2
        assert found['heliostat_budgets_near{project="default"}'] == 0
        assert found['heliostat_batches_failing{project="show"}'] == 0

    def test_labels_are_escaped(self) -> None:
        [card] = full_cards(1)
        card.device = 'a "card"\\\nof mine'
        page = FleetPage(CollectorRegistry(), Tariff())
        text = page.write(fleet(fleet_pb.GetFleetResponse(), [card])).decode()
        assert 'device="a \\"card\\"\\\\\\nof mine"' in text


class TestRestarts:
    TOTALS = re.compile(
        r"^heliostat_(?:(?:frames|clips)_\w+|attempts_\w+|chunks_recorded|delivered_bytes|"
        r"stale_reports)_total \S+$",
        re.M,
    )

    async def totals(self, rig: Rig) -> list[str]:
        rig.gateway._fleet.forget()
        _, page = await rig.get("/metrics")
        found = self.TOTALS.findall(page)
        assert len(found) == 8
        return found

    async def test_a_gateway_started_anew_tells_the_same_totals(self, stored_rig: Rig) -> None:
        card, key = await rendering(stored_rig)
        await card.render(key, 2)
        before = await self.totals(stored_rig)
        assert "heliostat_frames_delivered_total 66.0" in before
        await stored_rig.restart_gateway()
        assert await self.totals(stored_rig) == before

    async def test_a_coordinator_started_anew_tells_the_same_totals(self, stored_rig: Rig) -> None:
        card, _ = await rendering(stored_rig)
        card.frames += 33
        await card.exchange()  # which writes nothing down
        before = await self.totals(stored_rig)
        stored_rig.link.coordinator = Coordinator(stored_rig.store, stored_rig.clock)
        assert await self.totals(stored_rig) == before
        await card.exchange()
        stored_rig.link.coordinator.tick()
        assert "heliostat_frames_rendered_total 66.0" in await self.totals(stored_rig)

    async def test_a_card_is_there_again_once_it_is_heard_of(self, rig: Rig) -> None:
        card = SimulatedCard(rig)
        await card.exchange()
        rig.link.coordinator = Coordinator(rig.store, rig.clock)
        name = 'heliostat_card_render_busy_seconds_total{card="node-0"}'
        _, page = await rig.get("/metrics")
        assert name not in samples(page), "not 0, which would be taken for a reset"
        await card.exchange()
        rig.gateway._fleet.forget()
        _, page = await rig.get("/metrics")
        assert samples(page)[name] == 1.25

    def test_what_becomes_waste_takes_nothing_back(self) -> None:
        page, shown = FleetPage(CollectorRegistry(), Tariff()), []
        for seconds, waste in ((100.0, 0.0), (110.0, 60.0), (180.0, 60.0)):
            usage = fleet_pb.FarmUsage(card_seconds=seconds, waste_card_seconds=waste)
            view = fleet(fleet_pb.GetFleetResponse(usage=usage), [])
            found = samples(page.write(view).decode())
            shown.append(found['heliostat_card_seconds_total{use="render"}'])
        assert shown == [100, 100, 120]


class TestStorage:
    class Broken:
        """A store whose every call raises."""

        def __init__(self, error: Exception) -> None:
            self.error = error

        def __getattr__(self, name: str) -> object:
            def call(*_args: object) -> object:
                raise self.error

            def paged(*_args: object) -> object:
                raise self.error
                yield

            return paged if name in ("list", "uploads") else call

    @pytest.mark.parametrize("operation", OPERATIONS)
    @pytest.mark.parametrize(
        ("error", "errors", "corruptions"),
        [
            (ObjectStoreUnavailable("no"), 1, 0),
            (ObjectMismatch("no"), 0, 1),
            (ObjectMissing("no"), 0, 0),
        ],
    )
    def test_failures_are_counted_and_answers_are_not(
        self, operation: str, error: Exception, errors: int, corruptions: int
    ) -> None:
        registry = CollectorRegistry()
        store = metered(self.Broken(error), registry)  # type: ignore[arg-type]
        with pytest.raises(type(error)):
            list(getattr(store, operation)("key") or ())
        labels = {"operation": operation}
        assert registry.get_sample_value("heliostat_storage_errors_total", labels) == errors
        assert registry.get_sample_value("heliostat_storage_corruptions_total") == corruptions
