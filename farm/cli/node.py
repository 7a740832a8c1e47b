"""`farm node`: what machines and cards may do, and when."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings

if TYPE_CHECKING:
    from farm.client import Farm
    from heliostat.v1 import fleet_service_pb2 as pb

node = typer.Typer(
    help="Lock, drain, pause, open or examine nodes and cards; their hours and fuse."
)

Targets = Annotated[
    list[str], typer.Argument(metavar="TARGET...", help="Nodes' hostnames or cards' ids.")
]
Hostnames = Annotated[list[str], typer.Argument(metavar="NODE...", help="Hostnames.")]
Reason = Annotated[str, typer.Option(help="Why; shown wherever the node or card is.")]


@node.command()
@command
def lock(
    targets: Targets,
    reason: Reason = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Give no new clips; those that are held go on to their ends."""
    return _stand("LOCKED", targets, reason, (config, endpoint, ca, data_dir), as_json=as_json)


@node.command()
@command
def unlock(
    targets: Targets,
    reason: Reason = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Open it again, whatever it was: locked, drained, paused or quarantined."""
    return _stand("OPEN", targets, reason, (config, endpoint, ca, data_dir), as_json=as_json)


@node.command()
@command
def resume(
    targets: Targets,
    reason: Reason = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Open it again; the same as unlock."""
    return _stand("OPEN", targets, reason, (config, endpoint, ca, data_dir), as_json=as_json)


@node.command()
@command
def drain(
    targets: Targets,
    reason: Reason = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Give clips up at the next chunk boundary, then end the agents: the node is about to leave."""
    return _stand("DRAINING", targets, reason, (config, endpoint, ca, data_dir), as_json=as_json)


@node.command()
@command
def pause(
    targets: Targets,
    reason: Reason = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Give clips up at the next chunk boundary, and stay ready."""
    return _stand("PAUSED", targets, reason, (config, endpoint, ca, data_dir), as_json=as_json)


@node.command()
@command
def quarantine(
    targets: Targets,
    reason: Reason = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Give clips up, and be examined before taking any again."""
    return _stand("QUARANTINED", targets, reason, (config, endpoint, ca, data_dir), as_json=as_json)


@node.command()
@command
def schedule(
    hostnames: Hostnames,
    hours: Annotated[
        str | None,
        typer.Option(
            help="When it may render: 'mon-fri 19:00-07:00, sat-sun 00:00-24:00 Europe/Berlin'."
        ),
    ] = None,
    always: Annotated[bool, typer.Option("--always", help="At any hour.")] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Say when nodes may render; outside these hours they are paused."""
    if (hours is None) is not always:
        raise typer.BadParameter("give --hours or --always, one of them", param_hint="--hours")
    where = (config, endpoint, ca, data_dir)
    return _set(hostnames, where, schedule="" if always else hours, as_json=as_json)


@node.command()
@command
def circuit(
    hostnames: Hostnames,
    name: Annotated[str | None, typer.Option("--on", metavar="CIRCUIT", help="Its name.")] = None,
    none: Annotated[bool, typer.Option("--none", help="On none that has a limit.")] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Say which circuit nodes hang on; its cards' power caps stay under its watts together."""
    if (name is None) is not none:
        raise typer.BadParameter("give --on CIRCUIT or --none, one of them", param_hint="--on")
    where = (config, endpoint, ca, data_dir)
    return _set(hostnames, where, circuit="" if none else name, as_json=as_json)


_Where = tuple[Path | None, str | None, Path | None, Path | None]
"""Settings' file, endpoint, authority, data directory."""


def _connect(where: _Where) -> Farm:
    config, endpoint, ca, data_dir = where
    return connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir))


def _stand(word: str, targets: list[str], reason: str, where: _Where, *, as_json: bool) -> int:
    from heliostat.v1 import types_pb2 as types

    with _connect(where) as farm:
        done = farm.set_standing(targets, types.Standing.Value(f"STANDING_{word}"), reason=reason)
    if as_json:
        output.print_json({"targets": list(done), "standing": word.lower()})
    else:
        output.say(f"{', '.join(done)}: {word.lower()}")
    return output.OK


def _set(
    hostnames: list[str],
    where: _Where,
    *,
    schedule: str | None = None,
    circuit: str | None = None,
    as_json: bool,
) -> int:
    from farm.client.plain import plain

    with _connect(where) as farm:
        done = [farm.set_node(each, schedule=schedule, circuit=circuit) for each in hostnames]
    for each in done:
        if not each.cards:
            output.note(f"note: no card of {each.hostname} was heard of yet; it counts once one is")
    if as_json:
        output.print_json([plain(each) for each in done])
    else:
        for each in done:
            output.say(_line(each))
    return output.OK


def _line(done: pb.Node) -> str:
    now = "" if done.in_hours else " (not now)"
    hours = done.schedule or "at any hour"
    return f"{done.hostname}: {hours}{now}, circuit {done.circuit or 'none'}"
