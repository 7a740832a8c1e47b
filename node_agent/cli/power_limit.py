"""`farm-node power-limit`: how much each card may draw."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from node_agent.cli.options import Json
from node_agent.cli.output import refuse


def power_limit(
    watts: Annotated[
        float | None, typer.Option(metavar="N", min=1, help="Set every card's limit to it.")
    ] = None,
    reset: Annotated[
        bool, typer.Option("--reset", help="Set every card's limit to its default.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Show the power limit of each card, or set it, which needs root."""
    from node_agent.telemetry.power_limit import PowerLimitError, read_limits, set_limits

    if reset and watts is not None:
        raise refuse("either --watts N or --reset")
    try:
        limits = set_limits(watts) if reset or watts is not None else read_limits()
    except PowerLimitError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(1) from None
    if as_json:
        typer.echo(json.dumps([asdict(limit) for limit in limits]))
        return
    table = Table("card", "name", "limit W", "default W", "from W", "to W")
    for limit in limits:
        figures = (limit.now, limit.default, limit.lowest, limit.highest)
        table.add_row(str(limit.index), limit.name, *(f"{each:g}" for each in figures))
    Console().print(table)
