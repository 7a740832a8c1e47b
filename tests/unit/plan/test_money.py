"""What a fleet is worth: payback, costs, more cards, and how well each figure is known."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from farm.domain.fleet import CardFacts, Standing
from farm.plan.economics import H100, HELIOS, Basis, shape_of
from farm.plan.money.comparators import DEFAULTS, comparators_of
from farm.plan.money.costs import Costs, cost_of
from farm.plan.money.figure import Figure, derived, weakest
from farm.plan.money.machines import Group, Machines, assumed, live, predicted_rate
from farm.plan.money.payback import Verdict, break_even, duration_tax_rate, verdict
from farm.plan.money.scenario import Prices, Scenario
from farm.plan.money.statement import statement
from farm.plan.money.words import amount, money, number
from farm.plan.picture import CardSeen
from farm.plan.seating import Paced
from farm.plan.tariff import Tariff
from farm.plan.timing import Timing

PLAIN = Prices(Tariff(), Scenario())


def fleet(cards: int = 62, rate: float = 2.5, **more: object) -> Machines:
    return Machines(groups=(assumed("rtx-4060-ti", cards, PLAIN, rate),), **more)  # type: ignore[arg-type]


def told(machines: Machines, asked: Scenario = PLAIN.asked, tariff: Tariff = PLAIN.tariff):
    return statement(machines, Prices(tariff, asked), DEFAULTS, H100)


@pytest.mark.parametrize(
    ("rate", "said"),
    [
        (1.01, Verdict.BUY),
        (1.0, Verdict.BETWEEN),
        (0.15, Verdict.BETWEEN),
        (0.149, Verdict.CLOUD),
        (0.0, Verdict.CLOUD),
    ],
)
def test_the_duration_tax_rate_has_three_bands(rate: float, said: Verdict) -> None:
    assert verdict(rate) is said


def test_the_duration_tax_rate_is_monthly_spending_over_the_price() -> None:
    assert duration_tax_rate(4.0, 200, 400) == pytest.approx(2.0)
    with pytest.raises(ValueError, match="want a price above 0"):
        duration_tax_rate(4.0, 200, 0)


def test_break_even_never_comes_where_a_clip_of_ones_own_costs_no_less() -> None:
    assert break_even(400, 2) == 200
    assert break_even(400, 2, 0.5) == pytest.approx(266.67, abs=0.01)
    assert break_even(400, 2, 2) == math.inf


def test_a_computed_figure_is_known_as_well_as_the_least_known_of_its_inputs() -> None:
    one = Figure(2.0, "FPS", Basis.MEASURED, "here")
    other = Figure(400.0, "USD", Basis.ASSUMED, "a shop")
    assert derived(5.0, "FPS", "FPS / USD", one, other, None).basis is Basis.ASSUMED
    assert weakest(Basis.MEASURED, Basis.PUBLISHED) is Basis.PUBLISHED


def test_the_fleet_of_the_article_costs_what_its_sums_say() -> None:
    asked = Scenario(card_prices={"rtx-4060-ti": 400}, host_price=350)
    found = told(fleet(), asked)
    table = found.table("fleet")
    assert table is not None
    values = {row.key: row.cells["value"].value for row in table.rows}
    assert values["rate"] == pytest.approx(155)
    assert values["equivalents"] == pytest.approx(155 / 19.53)
    assert values["price_cards"] == pytest.approx(24_800)
    assert values["price_nodes"] == pytest.approx(46_500)
    assert values["fps_per_1000_cards"] == pytest.approx(6.25)
    assert values["fps_per_1000_nodes"] == pytest.approx(155 / 46.5)
    assert values["fps_per_kilowatt"] == pytest.approx(2.5 / 0.165)
    # 5 s are 120 frames, which are 4 chunks of 33.
    assert values["card_seconds"] == pytest.approx(132 / 2.5)
    assert values["joules"] == pytest.approx(132 / 2.5 * 165)
    assert values["electricity"] == pytest.approx(132 / 2.5 * 165 / 3.6e6 * 0.17)


def test_wear_grows_as_cards_idle_and_electricity_does_not() -> None:
    busy, idle = (
        Costs(fleet(), Prices(Tariff(), Scenario(utilisation=share))) for share in (1.0, 0.25)
    )
    power = busy.electricity
    assert power is not None
    assert idle.electricity == power
    whole = [costs.whole(nodes=True) for costs in (busy, idle)]
    assert whole[0] is not None
    assert whole[1] is not None
    assert whole[1].value - power.value == pytest.approx(4 * (whole[0].value - power.value))


def test_what_the_farm_has_used_goes_before_what_its_cards_should_use() -> None:
    used = Figure(100.0, "J", Basis.MEASURED, "since it began")
    joules = Costs(fleet(joules_per_second=used), PLAIN).joules
    assert joules is not None
    assert (joules.value, joules.basis) == (500.0, Basis.MEASURED)


def test_more_cards_change_rate_price_power_and_backlog() -> None:
    machines = fleet(10, backlog_seconds=3600.0)
    table = told(machines, Scenario(add_cards=30, add_type="rtx-4060-ti")).table("more")
    assert table is not None

    def value(key: str, column: str) -> float:
        figure = table.cell(key, column)
        assert figure is not None
        return figure.value

    assert (value("rate", "now"), value("rate", "added"), value("rate", "then")) == (25, 75, 100)
    assert value("price_nodes", "added") == 30 * 800
    assert value("watts", "then") == 40 * 165
    assert value("backlog", "then") == pytest.approx(900)
    assert value("months", "added") == pytest.approx(
        value("price_nodes", "added") / value("saved", "added")
    )


def test_more_cards_of_a_type_that_is_not_there_are_predicted() -> None:
    table = told(fleet(10), Scenario(add_cards=1, add_type="rtx-4090")).table("more")
    rate = table.cell("rate", "added") if table else None
    predicted = predicted_rate("rtx-4090")
    assert rate is not None
    assert predicted is not None
    assert (rate.value, rate.basis) == (predicted.value, Basis.ESTIMATED)


def test_more_cards_like_measured_ones_are_not_measured_themselves() -> None:
    table = told(measured(4, 2.0), Scenario(add_cards=4, add_type="rtx-4060-ti")).table("more")
    rate = table.cell("rate", "added") if table else None
    assert rate is not None
    assert rate.basis is Basis.CALIBRATED


def test_more_cards_of_an_unknown_type_say_what_is_lacking() -> None:
    table = told(fleet(1), Scenario(add_cards=2, add_type="voodoo")).table("more")
    assert table is not None
    assert table.cell("rate", "added") is None
    assert any("no price is known of voodoo" in note for note in table.notes)
    assert any("nothing is known of the speed of voodoo" in note for note in table.notes)


def card(pace: float, watts: float | None = None, **facts: object) -> Paced:
    seen = CardSeen(
        facts=CardFacts(card_id=f"c{pace}", card_type="rtx-4060-ti", pace=pace, **facts),  # type: ignore[arg-type]
        standing=Standing.OPEN,
        schedule="",
        timing=Timing(watts=watts),
    )
    return Paced(seen, pace, 0.03, Basis.MEASURED)


def measured(cards: int, rate: float) -> Machines:
    """A farm of cards that were measured at `rate` at the baseline's work."""
    pace = H100.frames_per_second / rate
    groups = live([card(pace, 150.0)] * cards, PLAIN, HELIOS["distilled"], H100)
    return Machines(groups=groups, is_there=True)


def test_a_measured_pace_is_a_measured_rate_and_a_published_comparison() -> None:
    (group,) = measured(4, 2.0).groups
    assert group.rate is not None
    assert group.equivalent is not None
    assert group.rate.value == pytest.approx(2.0)
    assert group.rate.basis is Basis.MEASURED
    assert group.equivalent.value == pytest.approx(2.0 / 19.53)
    assert group.equivalent.basis is Basis.PUBLISHED
    assert (group.watts.value, group.watts.basis) == (150.0, Basis.MEASURED)


def test_a_card_that_measures_no_watts_is_taken_at_its_cap() -> None:
    (group,) = live([card(8.0, power_cap_watts=120.0)], PLAIN, HELIOS["distilled"], H100)
    assert (group.watts.value, group.watts.basis) == (120.0, Basis.ESTIMATED)


def test_paces_of_other_work_are_scaled_and_say_so() -> None:
    (group,) = live([card(8.0)], PLAIN, HELIOS["distilled"], H100, scaled=True)
    assert group.rate is not None
    assert group.rate.basis is Basis.ESTIMATED
    assert "in proportion to TFLOP" in group.rate.source


def test_a_small_model_is_compared_like_for_like() -> None:
    tiny = shape_of("distilled", layers=2, heads=2, head_dim=12, ffn_dim=48)
    groups = live([card(2.0)], PLAIN, tiny, H100)
    machines = Machines(groups=groups, is_there=True)
    # Half of an H100 by its pace, whatever a frame of the small model takes.
    assert machines.equivalents is not None
    assert machines.equivalents.value == pytest.approx(0.5)
    assert machines.equivalents.basis is Basis.ESTIMATED
    like = machines.like(H100)
    assert like is not None
    assert like.value == pytest.approx(19.53 / 2)


def test_test_cards_are_worth_no_h100() -> None:
    groups = live([card(1.0)], PLAIN, None, H100)
    machines = Machines(groups=groups, is_there=True, is_testcard=True)
    assert machines.rate is not None
    assert machines.rate.value == pytest.approx(33)
    assert machines.equivalents is None
    others = told(machines).table("comparators")
    assert others is not None
    assert others.row("fleet-cards") is None
    assert all("fleet" not in row.cells for row in others.rows)


@pytest.mark.parametrize("cards", [1, 2_000])
def test_every_table_says_something_of_small_and_large_fleets(cards: int) -> None:
    found = told(measured(cards, 2.0))
    assert [table.key for table in found.tables] == [
        "fleet",
        "cards",
        "comparators",
        "payback",
        "tiers",
        "sensitivity",
        "utilisation",
        "article",
        "arithmetic",
    ]
    assert all(table.rows for table in found.tables)
    assert all(figure.basis for *_, figure in found.figures())


def test_a_farm_without_cards_says_so_and_how_to_reckon() -> None:
    found = told(Machines(is_there=True))
    table = found.table("fleet")
    assert table is not None
    assert table.cell("rate") is None
    assert any("no card has joined" in note for note in table.notes)
    assert found.table("payback") is None
    assert found.table("comparators") is not None


def test_an_idle_farm_is_reckoned_with_all_cards_at_work() -> None:
    nothing = Figure(0.0, "FPS", Basis.MEASURED, "over the last minute")
    table = told(replace(measured(3, 2.0), rendering=nothing)).table("fleet")
    assert table is not None
    assert any("nothing renders now" in note for note in table.notes)
    rate = table.cell("rate")
    assert rate is not None
    assert rate.value == pytest.approx(6)


def test_cards_without_a_price_are_named_and_nothing_is_reckoned_from_them() -> None:
    unknown = Group(
        card_type="cpu",
        cards=2,
        rate=Figure(1.0, "FPS", Basis.MEASURED, ""),
        equivalent=None,
        watts=Figure(65.0, "W", Basis.ASSUMED, ""),
    )
    found = told(Machines(groups=(unknown,), is_there=True))
    table = found.table("fleet")
    assert table is not None
    assert table.cell("price_cards") is None
    assert any("no price is known of cpu" in note for note in table.notes)
    assert found.table("payback") is None


def test_hosts_are_in_the_price_of_nodes_and_not_of_cards() -> None:
    asked = Scenario(host_price=600, card_prices={"rtx-4060-ti": 400})
    machines = fleet(10)
    prices = Prices(Tariff(), asked)
    cards, nodes = (machines.price(prices, nodes=nodes) for nodes in (False, True))
    assert cards is not None
    assert nodes is not None
    assert (cards.value, nodes.value) == (4_000, 10_000)


def test_a_rented_h100_costs_hours_times_its_price() -> None:
    rented = next(each for each in DEFAULTS if each.name == "h100-rented")
    found = cost_of(rented, Prices(Tariff(), Scenario(h100_hour_price=3.0)))
    assert found is not None
    assert found.value == pytest.approx(132 / 19.53 / 3600 * 3.0)


def test_a_cloud_by_the_second_charges_seconds() -> None:
    by_second = next(each for each in DEFAULTS if each.name == "cloud-by-the-second")
    found = cost_of(by_second, Prices(Tariff(), Scenario(clip_seconds=60)))
    assert found is not None
    assert found.value == pytest.approx(20.0)


def test_what_is_asked_goes_before_the_tariff_and_says_so() -> None:
    asked = Scenario(electricity_price=0.4, cloud_price=9.0)
    prices = Prices(Tariff(electricity_price=0.2), asked)
    assert (prices.electricity.value, prices.electricity.source) == (0.4, "as asked here")
    assert prices.applied.cloud_prices == (2.0, 9.0, 9.0)
    assert prices.cloud.basis is Basis.ASSUMED
    assert PLAIN.cloud.basis is Basis.PUBLISHED


@pytest.mark.parametrize(
    ("asked", "what"),
    [
        (Scenario(utilisation=0.0), "utilisation 0"),
        (Scenario(utilisation=60.0), "utilisation 60"),
        (Scenario(electricity_price=-1.0), "electricity price -1"),
        (Scenario(monthly=math.nan), "generations a month nan"),
        (Scenario(add_cards=3), "want both a number and a type"),
        (Scenario(clip_seconds=0.0), "0 seconds of video"),
        (Scenario(card_prices={"x": -2.0}), "price of x -2"),
    ],
)
def test_what_cannot_be_is_told_with_its_numbers(asked: Scenario, what: str) -> None:
    assert what in asked.problems()[0]


def test_comparators_are_settable_and_add_up() -> None:
    found = {
        each.name: each
        for each in comparators_of(
            {
                "ours": {"title": "our cloud", "generation_price": 3, "source": "price list"},
                "h100-bought": {"price": 31_000},
            }
        )
    }
    assert found["ours"].generation_price == 3
    assert found["ours"].basis is Basis.ASSUMED
    assert found["h100-bought"].price == 31_000
    assert found["h100-bought"].frames_per_second == 19.53
    assert len(found) == len(DEFAULTS) + 1


@pytest.mark.parametrize(
    ("table", "what"),
    [
        ({"a": {"speed": 3}}, "has no 'speed'"),
        ({"a": {"price": "dear"}}, "give a number"),
        ({"a": {"price": -1}}, "give a number"),
        ({"a": {"basis": "sworn"}}, "measured"),
        ({"a": {"title": 3}}, "give a text"),
        ({"": {}}, "no name"),
    ],
)
def test_a_comparator_that_cannot_be_is_refused(table: dict, what: str) -> None:
    with pytest.raises(ValueError, match=what):
        comparators_of(table)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2594.8, "USD", "$2,594.80"),
        (400.0, "USD", "$400"),
        (0.00062, "EUR", "€0.00062"),
        (4.0, "CHF", "4 CHF"),
        (155.0, "FPS", "155 FPS"),
        (7.949, "x", "7.95x"),
        (40.0, "s", "40 s"),
        (4800.0, "s", "80 minutes"),
    ],
)
def test_figures_are_said_with_their_units(value: float, unit: str, text: str) -> None:
    assert amount(Figure(value, unit, Basis.MEASURED, "")) == text


def test_no_small_amount_is_shown_as_nothing() -> None:
    assert money(0.0000123) == "0.000012"
    assert money(0.01) == "0.01"
    assert money(0.0) == "0"
    assert number(0.00000206) == "0.00000206"
