"""`farm-node profiles`: what each profile of a model needs, and what this machine makes of it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from node_agent.cli import parse
from node_agent.cli.options import Json, Ram, Vram
from node_agent.doctor.finding import gigabytes
from node_agent.render.profiles import PROFILES

if TYPE_CHECKING:
    from node_agent.render.helios.survey import Needs, Row, Survey

_ARITHMETIC = {
    "whole": "bfloat16",
    "int8": "INT8; bfloat16 at both ends",
    "float8": "FP8; bfloat16 at both ends",
}
_CAPTION = "CUDA is the compute capability; sizes are in GB, with room for a chunk at 640x384"


def profiles(
    model: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="The model's directory.", show_default="the 14B model"),
    ] = None,
    device: Annotated[str, typer.Option(help="cuda:N, or cpu.")] = "cuda:0",
    vram: Vram = None,
    ram: Ram = None,
    as_json: Json = False,
) -> None:
    """Say what each profile of a model needs, and which of them this machine offers now.

    Only a model's configurations are read. Where there is no card, --vram imagines one.
    """
    from node_agent.telemetry.visible import CUDA_DEVICE_ORDER  # the driver's binding

    os.environ.setdefault("CUDA_DEVICE_ORDER", CUDA_DEVICE_ORDER)
    from node_agent.render.helios.placement import Caps  # torch: only where it is needed
    from node_agent.render.helios.random_weights import RandomWeights
    from node_agent.render.helios.survey import DirectoryShape, survey

    shape = DirectoryShape(model.expanduser()) if model else RandomWeights()
    found = survey(shape, parse.device(device), Caps(vram, ram))
    if as_json:
        typer.echo(json.dumps({"model": str(model) if model else None} | asdict(found)))
    else:
        _show(found)


def _show(found: Survey) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=box.SIMPLE_HEAD, caption=_CAPTION, caption_justify="left")
    table.add_column("profile", no_wrap=True)
    table.add_column("arithmetic")
    for header in ("CUDA", "weights", "VRAM+RAM\nat least", "VRAM\nfor all"):
        table.add_column(header, justify="right", no_wrap=True)
    table.add_column("here", ratio=1)
    for row in found.profiles:
        arithmetic = _ARITHMETIC[PROFILES[row.profile].arithmetic]
        table.add_row(row.profile, arithmetic, *_numbers(row.needs), Text(here(row, found)))
    console.print(table)
    for row in found.profiles:
        if row.refusal:
            console.print(Text(f"{row.profile} is not offered: {row.refusal}"))
    for line in (machine(found), qualities(found)):
        console.print(Text(line))


def here(row: Row, found: Survey) -> str:
    """What happens to a profile on this machine, for a person."""
    if row.refusal:
        return "not offered"
    if row.place is None:
        return "no card here"
    place, where = row.place, "all on the card"
    if found.device == "cpu" and not found.vram_bytes:
        where = f"all in the host's memory, {gigabytes(place.weights_on_device_bytes)}"
    elif place.ram_bytes:
        where = (
            f"streamed, {place.blocks_resident} of {place.blocks} blocks stay;"
            f" {gigabytes(place.ram_bytes)} of host RAM"
        )
    if not row.offered:
        return f"only with --profile {row.profile}: {where}"
    return f"{'loaded first' if row.profile == found.loaded else 'offered'}: {where}"


def machine(found: Survey) -> str:
    """What there is of the machine, and what is wrong with it, for a person."""
    ram = f"{gigabytes(found.ram_bytes)} of host RAM to be had"
    none = f"no card here: {found.problem}\n" if found.problem else ""
    if not found.vram_bytes:
        return f"{none}{found.device or 'machine'}: {ram}"
    name = f"{found.device} ({found.device_name})" if found.device_name else found.device
    what = "a card that is imagined" if found.device == "card" else name
    return f"{none}{what}: {gigabytes(found.vram_bytes)} of GPU memory, {ram}"


def qualities(found: Survey) -> str:
    """Which profile each quality gets, for a person."""
    if not found.device:
        return "With --vram SIZE a card is imagined."
    chosen = (
        f"{quality}: {profile or 'waits for another card'}"
        for quality, profile in found.qualities.items()
    )
    return f"Clips of quality {', '.join(chosen)}"


def _numbers(needs: Needs | None) -> tuple[str, ...]:
    """Compute capability, weights, the least of both memories, GPU memory for all; in GB."""
    if needs is None:
        return ("-",) * 4
    least = needs.vram_min_bytes, needs.ram_at_vram_min_bytes
    sizes = needs.weights_bytes, *least, needs.vram_resident_bytes
    weights, vram, ram, whole = (f"{size / 1e9:.1f}" for size in sizes)
    return "{}.{}".format(*needs.capability_min), weights, f"{vram}+{ram}", whole
