"""`farm top`: the farm on one screen, live."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Final

import typer

from farm.cli import output, status_view
from farm.cli.fleet import active_batches, morning_lines
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, command, connect, settings
from farm.domain.errors import FarmError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from farm.client import Farm

CARDS_SHOWN: Final = 30
BATCHES_SHOWN: Final = 12


@command
def top(
    every: Annotated[
        float, typer.Option(metavar="SECONDS", min=0.2, help="Between two looks.")
    ] = 1.0,
    once: Annotated[bool, typer.Option("--once", help="Draw it once, and end.")] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
) -> int:
    """Show cards, projects and batches live, until Ctrl-C. A farm that is away is waited for."""
    from rich.live import Live

    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    console = output.console()
    with connect(found) as farm:
        if once or not console.is_terminal:
            console.print(_screen(farm))
            return output.OK
        try:
            with Live(console=console, screen=True, auto_refresh=False) as live:
                while True:
                    live.update(_looked_at(farm), refresh=True)
                    time.sleep(every)
        except KeyboardInterrupt:
            return output.OK


def _looked_at(farm: Farm) -> RenderableType:
    from farm.client.errors import FarmUnreachable

    try:
        return _screen(farm)
    except FarmUnreachable as error:
        return f"{datetime.now(tz=UTC).astimezone():%H:%M:%S} {error}"
    except FarmError as error:
        return f"{datetime.now(tz=UTC).astimezone():%H:%M:%S} the farm says: {error}"


def _screen(farm: Farm) -> RenderableType:
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    fleet, cards = farm.fleet(), farm.cards()
    batches = list(active_batches(farm))
    morning, lines = morning_lines(batches)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header in status_view.BATCH_HEADERS:
        table.add_column(header, no_wrap=True)
    for batch in islice(batches, BATCHES_SHOWN):
        table.add_row(*(Text(cell) for cell in status_view.batch_row(batch)))
    now = datetime.now(tz=UTC).astimezone()
    return Group(
        Text(f"{farm.endpoint} · {now:%a %d %b %H:%M:%S}", style="bold"),
        status_view.summary(fleet, cards),
        status_view.projects(lines, morning),
        table,
        status_view.card_table(cards, CARDS_SHOWN),
    )
