"""docs/nodes.md names what the code has: limits, checks."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from node_agent.burnin.judge import Limits
from node_agent.doctor.card import DriverFacts
from node_agent.doctor.examine import Facts, examine
from node_agent.doctor.host import ClockFacts

PAGE = (Path(__file__).parents[2] / "docs/nodes.md").read_text()


def cells() -> set[str]:
    """The words in backquotes of the tables' cells, first columns left out."""
    rows = [line.strip("|").split("|") for line in PAGE.splitlines() if line.startswith("|")]
    return {word for row in rows for word in re.findall(r"`([a-z_]+)`", "|".join(row[1:]))}


def test_every_limit_of_a_burn_in_is_in_the_table() -> None:
    assert {each.name for each in fields(Limits)} <= cells()


def test_every_check_of_the_doctor_is_in_the_table() -> None:
    clock = ClockFacts(now=2e9, not_before=1e9, synchronised=True)
    found = examine(Facts(driver=DriverFacts(installed=False), clock=clock))
    rows = {
        line.split("|")[1].strip().removesuffix(" *n*") for line in PAGE.splitlines() if "|" in line
    }
    assert {finding.name for finding in found} <= rows
    assert {"VRAM", "PCIe"} <= rows
