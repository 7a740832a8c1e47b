"""How a burn-in looks on a terminal while it goes on."""

from __future__ import annotations

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from node_agent.burnin.judge import Limits, Tally, judge
from node_agent.doctor.finding import State
from node_agent.telemetry import Sample

_STYLES = {State.GOOD: "green", State.BAD: "bold red"}


def view(tally: Tally, limits: Limits, hours: float, now: Sample) -> Group:
    """Hours done of `hours`, the card's readings now, and a line for each verdict."""
    readings = [f"{tally.seconds / 3600:.2f} of {hours:g} h"]
    if now.temperature_celsius is not None:
        readings.append(f"{now.temperature_celsius:.0f} °C")
    if now.power_watts is not None:
        readings.append(f"{now.power_watts:.0f} W")
    if now.sm_clock_hertz is not None:
        readings.append(f"{now.sm_clock_hertz / 1e6:.0f} MHz")
    head = Table.grid(padding=(0, 2))
    done = min(tally.seconds / 3600, hours)
    head.add_row(ProgressBar(total=hours, completed=done, width=30), Text("  ".join(readings)))
    table = Table.grid(padding=(0, 2))
    for finding in judge(tally, limits):
        state = "open" if finding.state is State.UNKNOWN else finding.state.value
        what = finding.what + (f"\n→ {finding.remedy}" if finding.remedy else "")
        style = _STYLES.get(finding.state, "dim")
        table.add_row(Text(finding.name), Text(state, style=style), Text(what))
    return Group(head, table)
