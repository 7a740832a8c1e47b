"""Payback against clouds: Duration Tax rate, break-even, tiers, and what they hang on. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from farm.plan.economics import Basis
from farm.plan.money.comparators import ARTICLE
from farm.plan.money.costs import Costs
from farm.plan.money.figure import Figure, Row, Table, derived
from farm.plan.money.fleet_tables import row
from farm.plan.money.machines import Machines
from farm.plan.money.payback import (
    MONTHS_OF_YEAR,
    TIERS,
    break_even,
    duration_tax_rate,
    verdict,
    year_of,
)
from farm.plan.money.scenario import Prices
from farm.plan.tariff import Tariff

RATE: Final = "price of a generation in a cloud x generations a month / price of the hardware"
FACTORS: Final = (0.5, 0.75, 1.0, 1.5, 2.0)
UTILISATIONS: Final = (0.1, 0.25, 0.5, 0.75, 1.0)


def payback_table(machines: Machines, prices: Prices) -> Table | None:
    """Duration Tax rate and break-even of the fleet, cards alone and whole nodes."""
    costs, currency = Costs(machines, prices), prices.currency
    own, monthly = costs.electricity, costs.monthly
    low, average, high = prices.applied.cloud_prices
    columns = {
        "price": "price",
        "rate": "Duration Tax rate",
        "months": "months to pay back",
        "low": f"generations at {low:g} {currency}",
        "average": f"at {average:g}",
        "high": f"at {high:g}",
    }
    rows = []
    for key, label, price in (
        ("cards", "cards alone", machines.price(prices, nodes=False)),
        ("nodes", "whole nodes", machines.price(prices, nodes=True)),
    ):
        if price is None:
            continue
        tax = duration_tax_rate(prices.cloud.value, monthly.value, price.value)
        even = {
            name: _break_even(price, Figure(cloud, currency, prices.cloud.basis, ""), own)
            for name, cloud in (("low", low), ("average", average), ("high", high))
        }
        months = None
        if even["average"] is not None and monthly.value > 0:
            value = even["average"].value / monthly.value
            months = derived(value, "months", "generations / a month", even["average"], monthly)
        rate = derived(tax, "", RATE, prices.cloud, monthly, price)
        rows.append(
            row(key, label, verdict(tax).value, price=price, rate=rate, months=months, **even)
        )
    if not rows:
        return None
    notes = [
        (
            f"Duration Tax rate = {RATE}; above 1.0 the hardware pays for itself within a month, "
            "below 0.15 a cloud stays the practical choice"
        ),
        "break-even in generations = price / (price in a cloud - electricity of a generation)",
        f"reckoned with {monthly.value:,.0f} generations a month ({monthly.source})",
    ]
    month = costs.capacity
    if month is not None and monthly.value > month.value:
        notes.append(
            f"the fleet makes {month.value:,.0f} generations a month: {monthly.value:,.0f} are "
            "more than it can"
        )
    if any("low" not in each.cells for each in rows):
        notes.append("what is missing never pays back: a generation here costs no less")
    return Table("payback", "Payback against a cloud", columns, tuple(rows), tuple(notes))


def _break_even(price: Figure, cloud: Figure, own: Figure | None) -> Figure | None:
    generations = break_even(price.value, cloud.value, own.value if own else 0.0)
    if not math.isfinite(generations):
        return None
    source = "price / (price in a cloud - electricity of a generation)"
    return derived(generations, "clips", source, price, cloud, own)


def tiers_table(machines: Machines, prices: Prices) -> Table:
    """A year of the article's three customers, at this farm's prices and energy.

    The hardware that the rate is of is one mean card of the fleet, with its host.
    """
    costs, currency = Costs(machines, prices), prices.currency
    own, cloud = costs.electricity, prices.cloud
    node = machines.price(prices, nodes=True)
    seconds = costs.card_seconds
    columns = {
        "monthly": "clips a month",
        "cloud": "a year in a cloud",
        "own": "electricity",
        "saved": "saved",
        "rate": "Duration Tax rate of one node",
        "hours": "card hours a month",
    }
    rows = []
    for tier in TIERS:
        year = year_of(tier.monthly * MONTHS_OF_YEAR, cloud.value, own.value if own else 0.0)
        rate = hours = electricity = None
        said = tier.stakeholder
        if own is not None:
            electricity = derived(year.own, currency, "clips x electricity of one", own)
        if node is not None:
            tax = duration_tax_rate(cloud.value, tier.monthly, node.value / machines.cards)
            rate = derived(tax, "", RATE, cloud, node)
            said = f"{verdict(tax).value} (the article: {said})"
        if seconds is not None:
            spent = tier.monthly * seconds.value / 3600
            hours = derived(spent, "h", "clips x seconds of a card / 3600", seconds)
        rows.append(
            row(
                tier.name.replace(" ", "-"),
                tier.name,
                said,
                monthly=Figure(tier.monthly, "clips", Basis.PUBLISHED, ARTICLE),
                cloud=derived(year.cloud, currency, "clips x price in a cloud", cloud),
                own=electricity,
                saved=derived(year.saved, currency, "cloud - electricity", cloud, own),
                rate=rate,
                hours=hours,
            )
        )
    notes = ["saved are running costs alone: the hardware is bought beside them"]
    if own is None:
        notes.append("without a fleet no energy is known: nothing is taken off what a cloud costs")
    return Table("tiers", "A year of three customers", columns, tuple(rows), tuple(notes))


def sensitivity_table(machines: Machines, prices: Prices) -> Table | None:
    """What a generation costs, and when nodes have paid back, if a price were another one."""
    if Costs(machines, prices).whole(nodes=True) is None:
        return None
    tariff = prices.applied

    def hardware(by: float) -> Prices:
        types = {group.card_type for group in machines.groups}
        own = {name: by * tariff.price_of(name) for name in types}
        changed = replace(
            tariff,
            card_prices={**tariff.card_prices, **own},
            host_price=by * tariff.host_price,
        )
        return _plain(changed, prices)

    def electricity(by: float) -> Prices:
        return _plain(replace(tariff, electricity_price=by * tariff.electricity_price), prices)

    def cloud(by: float) -> Prices:
        low, average, high = (by * price for price in tariff.cloud_prices)
        return _plain(replace(tariff, cloud_prices=(low, average, high)), prices)

    columns = {f"x{by:g}": f"x {by:g}" for by in FACTORS}
    rows = (
        _cost_row("hardware", "price of the hardware", machines, hardware),
        _cost_row("electricity", "price of a kWh", machines, electricity),
        _even_row("hardware_even", "price of the hardware", machines, hardware),
        _even_row("cloud_even", "price in a cloud", machines, cloud),
    )
    notes = (
        (
            "cost of a generation on whole nodes, electricity and wear; and generations until the "
            "nodes have paid for themselves, with everything else as it is"
        ),
    )
    return Table("sensitivity", "If prices were others", columns, rows, notes)


def _plain(tariff: Tariff, prices: Prices) -> Prices:
    """Prices that say what `tariff` says, whatever was asked of them."""
    asked = replace(
        prices.asked,
        electricity_price=None,
        card_prices={},
        host_price=None,
        cloud_price=None,
        h100_hour_price=None,
    )
    return Prices(tariff, asked)


def _cost_row(key: str, label: str, machines: Machines, priced: Callable[[float], Prices]) -> Row:
    cells = {f"x{by:g}": Costs(machines, priced(by)).whole(nodes=True) for by in FACTORS}
    return row(key, f"cost of a generation, by {label}", **cells)


def _even_row(key: str, label: str, machines: Machines, priced: Callable[[float], Prices]) -> Row:
    cells = {}
    for by in FACTORS:
        changed = priced(by)
        price, own = machines.price(changed, nodes=True), Costs(machines, changed).electricity
        cells[f"x{by:g}"] = _break_even(price, changed.cloud, own) if price else None
    return row(key, f"break-even, by {label}", **cells)


def utilisation_table(machines: Machines, prices: Prices) -> Table | None:
    """What a generation costs, and how many there are, by how much of their time cards render."""
    costs = Costs(machines, prices)
    if costs.capacity is None:
        return None
    columns = {f"{share:.0%}": f"{share:.0%}" for share in UTILISATIONS}
    by_share: dict[str, dict[str, Figure | None]] = {"capacity": {}, "cost": {}, "months": {}}
    for share in UTILISATIONS:
        asked = Prices(prices.tariff, replace(prices.asked, utilisation=share))
        at = Costs(machines, asked)
        month, price = at.capacity, machines.price(asked, nodes=True)
        even = _break_even(price, prices.cloud, at.electricity) if price else None
        name = f"{share:.0%}"
        by_share["capacity"][name] = month
        by_share["cost"][name] = at.whole(nodes=True)
        if even is not None and month is not None and month.value > 0:
            months = even.value / month.value
            source = "break-even / generations in a month"
            by_share["months"][name] = derived(months, "months", source, even, month)
    rows = (
        row("capacity", "generations in a month", **by_share["capacity"]),
        row("cost", "cost of a generation on whole nodes", **by_share["cost"]),
        row("months", "months to pay back, all in place of a cloud's", **by_share["months"]),
    )
    notes = (
        "a card that idles wears its price off all the same; what it draws meanwhile is not in it",
    )
    kept = tuple(each for each in rows if each.cells)
    return Table("utilisation", "If cards rendered less of their time", columns, kept, notes)
