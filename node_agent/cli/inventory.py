"""`farm-node inventory`: the cards of this machine, and where they are."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node_agent.node_file import DEFAULT_PATH, load_places

if TYPE_CHECKING:
    from node_agent.inventory import Record


def inventory(
    file: Annotated[
        Path, typer.Option(metavar="FILE", help="What the operator says of the cards, TOML.")
    ] = DEFAULT_PATH,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List this machine's cards: what they are, and where."""
    from node_agent.inventory import missing, records
    from node_agent.telemetry import find_nvml

    places = load_places(file.expanduser())
    nvml, hostname = find_nvml(), platform.node()
    cards = nvml.cards() if nvml else ()
    listed = records(hostname, nvml.driver_version() if nvml else None, cards, places)
    absent = missing(cards, places)
    if as_json:
        told = {"hostname": hostname, "cards": [asdict(each) for each in listed], "missing": absent}
        typer.echo(json.dumps(told))
        return
    for key in absent:
        typer.echo(f'{file}: card."{key}" is not in this machine', err=True)
    if listed:
        _show(listed)
    else:
        typer.echo(f"{hostname}: no NVIDIA cards")


def _show(listed: Sequence[Record]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD)
    for header in ("card", "name", "uuid", "PCIe", "VRAM", "driver", "vbios", "place", "tags"):
        table.add_column(header, overflow="fold")
    for each in listed:
        vram = "" if each.vram_bytes is None else f"{each.vram_bytes / 1e9:.1f} GB"
        place = " / ".join(part for part in (each.rack, each.shelf, each.circuit) if part)
        cells = (each.name, each.uuid, each.pci_address, vram, each.driver, each.vbios)
        table.add_row(str(each.index), *(cell or "" for cell in cells), place, ", ".join(each.tags))
    Console(highlight=False).print(table)
