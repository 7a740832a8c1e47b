"""`farm project`, `farm limit`, `farm circuit`: what is shared, and by how much."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import output, words
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings

project = typer.Typer(help="Projects: whose work it is, and its share of the fleet.")
limit = typer.Typer(help="Named limits: clips that may hold a card at once, over all batches.")
circuit = typer.Typer(help="Circuits: watts that the cards behind a fuse may draw together.")

Name = Annotated[str, typer.Argument(metavar="NAME")]


@project.command("set")
@command
def set_project(
    name: Name,
    weight: Annotated[
        float | None, typer.Option(help="Twice the weight is twice the share. [default: 1]")
    ] = None,
    cap: Annotated[
        int | None, typer.Option(metavar="CARDS", help="At once, while others wait for cards.")
    ] = None,
    no_cap: Annotated[bool, typer.Option("--no-cap", help="Take the cap away.")] = False,
    burst: Annotated[
        int | None, typer.Option(metavar="CARDS", help="At once, while nobody else waits.")
    ] = None,
    no_burst: Annotated[bool, typer.Option("--no-burst", help="Take the burst away.")] = False,
    look: Annotated[
        str | None, typer.Option(metavar="NAME", help="Lock it to a saved look (`farm look`).")
    ] = None,
    no_look: Annotated[bool, typer.Option("--no-look", help="Unlock it.")] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Make a project, or change what is named of it."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        done = farm.set_project(
            name,
            weight=weight,
            cap=cap,
            no_cap=no_cap,
            burst=burst,
            no_burst=no_burst,
            look="" if no_look else look,
        )
    if as_json:
        output.print_json(plain(done))
    else:
        output.say(
            f"project {done.name}: weight {done.weight:g}, "
            f"cap {done.cap if done.HasField('cap') else 'none'}, "
            f"burst {done.burst if done.HasField('burst') else 'none'}"
            + (f", locked to the look {done.look}" if done.look else "")
        )
    return output.OK


@project.command("list")
@command
def list_projects(
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List projects: what they have had lately, what they are entitled to, and what waits."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        listed = farm.projects()
    if as_json:
        output.print_json([plain(each) for each in listed])
        return output.OK
    output.print_table(
        ("project", "weight", "cap", "burst", "share", "entitled", "cards", "queued", "look"),
        (
            (
                each.name,
                f"{each.weight:g}",
                str(each.cap) if each.HasField("cap") else "",
                str(each.burst) if each.HasField("burst") else "",
                f"{each.share:.0%}",
                f"{each.entitled:.0%}",
                str(each.cards),
                f"{each.clips_waiting:,}",
                each.look,
            )
            for each in listed
        ),
        {1, 2, 3, 4, 5, 6, 7},
    )
    return output.OK


@limit.command("set")
@command
def set_limit(
    name: Name,
    most: Annotated[int, typer.Argument(metavar="CLIPS", help="At once, over all batches.")],
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Make or change a limit; batches name it with `farm submit --limit NAME`."""
    if most < 1:
        raise typer.BadParameter(
            f"a limit of {most} clips: choose 1 or more; `farm limit unset {name}` removes it",
            param_hint="CLIPS",
        )
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        farm.set_limit(name, most)
    if as_json:
        output.print_json({"name": name, "most": most})
    else:
        output.say(f"limit {name}: {words.plural(most, 'clip')} at once")
    return output.OK


@limit.command("unset")
@command
def unset_limit(
    name: Name,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Remove a limit; batches that name it are limited by it no more."""
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        farm.set_limit(name, 0)
    if as_json:
        output.print_json({"name": name, "most": None})
    else:
        output.say(f"limit {name}: removed")
    return output.OK


@limit.command("list")
@command
def list_limits(
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the limits, and how much of each is in use."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        listed = farm.limits()
    if as_json:
        output.print_json([plain(each) for each in listed])
        return output.OK
    output.print_table(
        ("limit", "clips at once", "in use"),
        ((each.name, f"{each.most:,}", f"{each.used:,}") for each in listed),
        {1, 2},
        empty="there is no limit: `farm limit set NAME MOST` makes one",
    )
    return output.OK


@circuit.command("set")
@command
def set_circuit(
    name: Name,
    watts: Annotated[float, typer.Argument(metavar="WATTS", help="That its cards may draw.")],
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Make or change a circuit; `farm node circuit NODE --on NAME` hangs a node on it."""
    if not watts > 0:
        raise typer.BadParameter(
            f"{watts:g} watts: choose a number above 0; `farm circuit unset {name}` removes it",
            param_hint="WATTS",
        )
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        farm.set_circuit(name, watts)
    if as_json:
        output.print_json({"name": name, "watts": watts})
    else:
        output.say(f"circuit {name}: {watts:g} W")
    return output.OK


@circuit.command("unset")
@command
def unset_circuit(
    name: Name,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Remove a circuit that no node hangs on."""
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        farm.set_circuit(name, 0)
    if as_json:
        output.print_json({"name": name, "watts": None})
    else:
        output.say(f"circuit {name}: removed")
    return output.OK


@circuit.command("list")
@command
def list_circuits(
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the circuits: their watts, those of cards at work, and the nodes behind them."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        listed = farm.circuits()
    if as_json:
        output.print_json([plain(each) for each in listed])
        return output.OK
    output.print_table(
        ("circuit", "watts", "in use", "nodes"),
        (
            (each.name, f"{each.watts:g}", f"{each.watts_used:g}", ", ".join(each.nodes))
            for each in listed
        ),
        {1, 2},
        empty="there is no circuit: `farm circuit set NAME WATTS` makes one",
    )
    return output.OK
