"""All that is said of a fleet's money, table by table. Pure."""

from __future__ import annotations

from farm.plan.economics import HELIOS, Baseline, ModelShape
from farm.plan.money.article import arithmetic_table, claims_table
from farm.plan.money.comparators import Comparator
from farm.plan.money.figure import Statement
from farm.plan.money.fleet_tables import cards_table, comparators_table, fleet_table, more_table
from farm.plan.money.machines import Machines, reference_work
from farm.plan.money.payback_tables import (
    payback_table,
    sensitivity_table,
    tiers_table,
    utilisation_table,
)
from farm.plan.money.scenario import Prices


def statement(
    machines: Machines,
    prices: Prices,
    comparators: tuple[Comparator, ...],
    baseline: Baseline,
    model: ModelShape | None = None,
) -> Statement:
    """Every table that there is something to say in; a fleet without cards has fewer."""
    shape = model or HELIOS[baseline.variant]
    found = (
        fleet_table(machines, prices, baseline),
        cards_table(machines, prices) if machines.cards else None,
        more_table(machines, prices, baseline),
        comparators_table(machines, comparators, prices, baseline),
        payback_table(machines, prices),
        tiers_table(machines, prices),
        sensitivity_table(machines, prices),
        utilisation_table(machines, prices),
        claims_table(prices.tariff),
        arithmetic_table(shape, reference_work(shape, baseline)),
    )
    tables = tuple(table for table in found if table is not None)
    return Statement(prices.currency, tables)
