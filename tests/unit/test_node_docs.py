"""docs/nodes.md names what the code has: metrics, limits, checks."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from farm.gateway.card_senses import sense_metrics
from node_agent.burnin.judge import Limits
from node_agent.doctor.card import DriverFacts
from node_agent.doctor.examine import Facts, examine
from node_agent.doctor.host import ClockFacts

PAGE = (Path(__file__).parents[2] / "docs/nodes.md").read_text()


def cells(first: bool = True) -> set[str]:
    """The words in backquotes of the tables' cells: of first columns, or of the rest."""
    rows = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("|")]
    picked = [row[0] if first else "|".join(row[1:]) for row in rows]
    return {word for cell in picked for word in re.findall(r"`([a-z_]+)(?:\{[a-z]+\})?`", cell)}


def test_every_reading_is_a_metric_of_the_table() -> None:
    totals = {"counter": "_total", "gauge": ""}
    emitted = {
        (metric.name + totals[metric.type]).removeprefix("heliostat_card_")
        for metric in sense_metrics([])
    }
    assert len(emitted) > 10
    assert emitted <= cells()
    # The rest of the table is what a card has without telling.
    assert cells() - emitted == {"info", "memory_bytes"}


def test_every_limit_of_a_burn_in_is_in_the_table() -> None:
    assert {each.name for each in fields(Limits)} <= cells(first=False)


def test_every_check_of_the_doctor_is_in_the_table() -> None:
    clock = ClockFacts(now=2e9, not_before=1e9, synchronised=True)
    found = examine(Facts(driver=DriverFacts(installed=False), clock=clock))
    rows = {
        line.split("|")[1].strip().removesuffix(" *n*") for line in PAGE.splitlines() if "|" in line
    }
    assert {finding.name for finding in found} <= rows
    assert {"VRAM", "PCIe"} <= rows
