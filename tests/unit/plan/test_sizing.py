"""What a farm of so many cards needs: counted as nodes count, and each sum right."""

from __future__ import annotations

import pytest

from farm.plan.card_table import CARDS
from farm.plan.card_time import WAYS
from farm.plan.economics import Basis
from farm.plan.money.figure import Statement
from farm.plan.money.scenario import Prices, Scenario
from farm.plan.sizing import ENCODER_GB, PARTS, RESERVE_GB, WEIGHTS_ON_HOST, Asked, sizing
from farm.plan.tariff import Tariff
from node_agent.doctor import needs
from node_agent.render.helios.placement import RAM_RESERVE_BYTES

SHOWN_MIB = {6: 6141, 8: 8188, 12: 12282, 16: 16380, 24: 24564, 32: 32607}
"""What cards sold with so many GiB show."""


def of(asked: Asked, **scenario: float) -> Statement:
    return sizing(asked, Prices(Tariff(), Scenario(**scenario)))


def value(told: Statement, table: str, row: str, column: str = "value") -> float:
    found = told.table(table)
    assert found is not None
    figure = found.cell(row, column)
    assert figure is not None, f"{table}.{row}.{column}"
    return figure.value


@pytest.mark.parametrize("profile", ["exact", "fast"])
def test_weights_on_the_host_are_those_that_nodes_count(profile: str) -> None:
    for gib, gigabytes in WEIGHTS_ON_HOST[profile].items():
        counted = needs.weights_on_host(profile, [SHOWN_MIB[gib] * 2**20]) / 1e9
        assert gigabytes == pytest.approx(counted, abs=0.06), gib
    assert pytest.approx(RAM_RESERVE_BYTES / 1e9, abs=0.05) == RESERVE_GB
    assert pytest.approx(needs.HOST_RAM_ENCODER / 1e9, abs=0.05) == ENCODER_GB


@pytest.mark.parametrize("cards", [1, 2, 4])
@pytest.mark.parametrize("way", ["exact", "fast"])
def test_memory_is_what_the_doctor_asks_for(cards: int, way: str) -> None:
    told = of(Asked(cards=cards, per_machine=cards, way=way))
    wanted = needs.host_ram(way, [SHOWN_MIB[16] * 2**20] * cards) / 1e9
    needed = value(told, "machine", "ram_needed")
    assert needed == pytest.approx(wanted, rel=0.01)
    assert value(told, "machine", "ram") >= needed


def test_sixty_two_cards_one_in_each_machine() -> None:
    told = of(Asked())
    assert value(told, "farm", "machines") == 62
    assert value(told, "farm", "rate") == pytest.approx(62 * 1.7228, rel=0.01)
    assert value(told, "farm", "power") == pytest.approx(62 * (165 + 75) / 0.9 / 1000)
    assert value(told, "farm", "circuits") == 6, "16.5 kW over 80% of 230 V x 16 A"
    assert value(told, "shopping", "card", "sum") == 62 * 450


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", [name for name, card in CARDS.items() if card.fp8])
def test_the_total_is_the_sum_and_nothing_is_better_known_than_its_parts(
    kind: str, way: str
) -> None:
    told = of(Asked(cards=7, card_type=kind, per_machine=3, way=way))
    shopping = told.table("shopping")
    assert shopping is not None
    sums = [row.cells["sum"].value for row in shopping.rows if row.key != "total"]
    assert len(sums) == len(PARTS) + 2
    assert value(told, "shopping", "total", "sum") == pytest.approx(sum(sums))
    assert all(figure.basis in (Basis.ESTIMATED, Basis.ASSUMED) for *_, figure in told.figures())
    for row in shopping.rows:
        if row.key != "total":
            number, each, together = (row.cells[c].value for c in ("number", "each", "sum"))
            assert together == pytest.approx(number * each)


def test_the_last_machine_may_have_fewer_cards() -> None:
    assert value(of(Asked(cards=5, per_machine=2)), "farm", "machines") == 3


def test_prices_of_ones_own() -> None:
    told = of(Asked(part_prices={"machine": 333.0}), electricity_price=0.5)
    assert value(told, "shopping", "machine", "each") == 333
    day = value(told, "farm", "energy")
    assert value(told, "farm", "electricity") == pytest.approx(0.5 * day)


def test_a_slower_network_takes_longer_for_the_model() -> None:
    fast, slow = of(Asked(network_gbit=10)), of(Asked())
    assert value(slow, "farm", "copy") == pytest.approx(10 * value(fast, "farm", "copy"))


def test_chunks_that_are_not_kept_take_no_room() -> None:
    assert value(of(Asked(keep_days=0)), "farm", "kept") == 0
