"""`farm-node install` and `farm-node uninstall`: this machine's cards in a farm, as a service."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from heliostat.services.errors import ServiceError
from node_agent.cli.join import (
    Address,
    CpuCards,
    GpuCards,
    Inputs,
    Model,
    Name,
    Renderer,
    Tags,
    TokenFile,
)
from node_agent.cli.options import Json

User = Annotated[
    str, typer.Option("--user", metavar="NAME", help="Whom the service runs as; heliostat is made.")
]
Root = Annotated[
    Path,
    typer.Option(
        "--root", metavar="DIR", help="Write below this directory, and leave systemd alone."
    ),
]


def install(
    address: Address,
    token_file: TokenFile = None,
    name: Name = None,
    cpu_cards: CpuCards = None,
    gpu_cards: GpuCards = None,
    renderer: Renderer = None,
    model: Model = None,
    inputs: Inputs = None,
    tags: Tags = None,
    user: User = "heliostat",
    power_limit: Annotated[
        float | None,
        typer.Option(
            "--power-limit", metavar="WATTS", min=1, help="Limit each card by a service of root's."
        ),
    ] = None,
    root: Root = Path("/"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show what would be written.")
    ] = False,
    start: Annotated[
        bool, typer.Option("--start/--no-start", help="Start it now, and with the machine.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Have systemd keep this machine's cards in a farm (docs/operating/bare-metal.md).

    What is there already stays as it is; a second call changes nothing.
    """
    from heliostat.services import system, told, unit
    from heliostat.services.install import install as carry_out
    from node_agent.cluster.ray_node import Head
    from node_agent.service import NODE_UNIT, NodeService, plan_of

    root = root.absolute()
    head = Head.parse(address)
    if not dry_run:
        system.require_rights(root, f"farm-node install {address}")
    if power_limit is not None and root == system.MACHINE:
        system.require_root_owns(unit.environment_paths())
    asked = NodeService(
        head=head,
        user=user,
        settings=_settings(
            name=name,
            cpu_cards=cpu_cards,
            gpu_cards=gpu_cards,
            renderer=renderer,
            model=_directory(model, root),
            inputs=[str(path.expanduser().absolute()) for path in inputs or []],
            tags=tags,
        ),
        token=_token(token_file),
        power_limit_watts=power_limit,
    )
    plan = plan_of(asked, root)
    _warn_of_silence(head)
    found = carry_out(plan, root, dry_run=dry_run, start=start)
    if as_json:
        typer.echo(json.dumps(told.installed_values(found, dry_run=dry_run)))
        return
    for line in told.installed_lines(found, dry_run=dry_run, service=NODE_UNIT):
        typer.echo(line)


def uninstall(
    root: Root = Path("/"),
    purge: Annotated[
        bool, typer.Option("--purge", help="Remove its data, too, and what was changed by hand.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: Json = False,
) -> None:
    """Leave the farm, and remove what `farm-node install` wrote."""
    from heliostat.services import system, told
    from heliostat.services.record import Record
    from heliostat.services.uninstall import uninstall as carry_out
    from node_agent.service import PART

    root = root.absolute()
    system.require_rights(root, "farm-node uninstall")
    record = Record.load(root, PART)
    if purge and not yes and record is not None:
        typer.confirm(f"Remove {record.data} and all that is in it?", abort=True, err=True)
    removed = carry_out(root, PART, purge=purge)
    if as_json:
        typer.echo(json.dumps(told.removed_values(removed)))
        return
    for line in told.removed_lines(removed, "farm-node uninstall"):
        typer.echo(line)


def _settings(**given: Any) -> dict[str, Any]:
    """What was said, for the node's file."""
    return {key: value for key, value in given.items() if value not in (None, [])}


def _directory(model: Path | None, root: Path) -> str | None:
    """A model's directory, which has to be there on the machine that it is for."""
    from heliostat.services import system

    if model is None:
        return None
    path = model.expanduser().absolute()
    if root == system.MACHINE and not path.is_dir():
        raise ServiceError(
            f"{path}: there is no such directory: `farm-node model fetch` gets a model"
        )
    return str(path)


def _token(file: Path | None) -> str:
    """The Ray token that was given; empty when none was."""
    from node_agent.cluster import machine

    return machine.ray_token(file) if file or os.environ.get(machine.TOKEN_VARIABLE) else ""


def _warn_of_silence(head: Any) -> None:
    try:
        head.own_address()
    except OSError as error:
        typer.echo(
            f"warning: the head does not answer at {head.ray_address} ({error}): the service "
            "tries until it does; check the address, that the farm is up, and firewalls between",
            err=True,
        )
