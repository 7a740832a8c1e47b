"""`farm-node join` and `farm-node leave`: this machine's cards in a farm, and out of it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from node_agent.cli.options import MODELS, ModelsDir, Profile, Ram, Vram, stamps
from node_agent.node_file import DEFAULT_PATH

if TYPE_CHECKING:
    from node_agent.cluster.keeper import Membership
    from node_agent.cluster.settings import NodeSettings

Address = Annotated[
    str, typer.Argument(metavar="HOST[:PORT]", help="The farm's head, as `farm up` says it.")
]
TokenFile = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="File with the Ray token; else HELIOSTAT_RAY_TOKEN."),
]
Name = Annotated[
    str | None, typer.Option(help="What the farm calls this machine. [default: its hostname]")
]
CpuCards = Annotated[
    int | None, typer.Option(min=0, max=256, help="CPU slots that stand in for cards. [default: 0]")
]
GpuCards = Annotated[
    int | None, typer.Option(min=0, max=256, help="GPUs that are cards. [default: all]")
]
Renderer = Annotated[str | None, typer.Option(help="helios, or testcard. [default: helios]")]
Model = Annotated[
    Path | None, typer.Option(metavar="DIR", help="The model, a directory of this machine.")
]
Pace = Annotated[float | None, typer.Option(min=0, help="The test card's pace. [default: 0]")]
Lanes = Annotated[
    int | None,
    typer.Option(
        min=0, max=16, help="Clips that a card renders in lockstep. [default: as measured, or 1]"
    ),
]
Loras = Annotated[
    Path | None, typer.Option(metavar="DIR", help="Pinned LoRAs, a directory of this machine.")
]
Inputs = Annotated[
    list[Path] | None,
    typer.Option(metavar="DIR", help="Clips may start from files below it; may be repeated."),
]
Roots = Annotated[
    list[str] | None,
    typer.Option(
        "--root",
        metavar="NAME=DIR",
        help="Where shared storage of that name is mounted here; may be repeated.",
    ),
]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", help="What clips may ask of its cards by name; may be repeated."),
]
IdleUnload = Annotated[
    float | None,
    typer.Option(min=0, help="A paused card frees its GPU after so long. [default: 0]"),
]
Spool = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Where cards keep what is not uploaded yet. [default: ~/.heliostat/spool]",
    ),
]
NodeFile = Annotated[
    Path, typer.Option(metavar="FILE", help="What the operator says of this machine, TOML.")
]
LeaveSeconds = Annotated[
    float, typer.Option(min=0, help="How long cards may take to reach a chunk's end.")
]
Directory = Annotated[
    Path, typer.Option("--dir", metavar="DIR", help="Where this node keeps its state.")
]
DIRECTORY = Path("~/.heliostat/joined")


def join(
    address: Address,
    token_file: TokenFile = None,
    name: Name = None,
    cpu_cards: CpuCards = None,
    gpu_cards: GpuCards = None,
    renderer: Renderer = None,
    model: Model = None,
    seconds_per_chunk: Pace = None,
    lanes: Lanes = None,
    vram: Vram = None,
    ram: Ram = None,
    pageable: Annotated[
        bool | None, typer.Option("--pageable", help="Stream weights from ordinary memory.")
    ] = None,
    profile: Profile = None,
    loras: Loras = None,
    inputs: Inputs = None,
    roots: Roots = None,
    tags: Tags = None,
    idle_unload_seconds: IdleUnload = None,
    spool: Spool = None,
    file: NodeFile = DEFAULT_PATH,
    models_dir: ModelsDir = MODELS,
    directory: Directory = DIRECTORY,
    leave_seconds: LeaveSeconds = 600.0,
    no_doctor: Annotated[
        bool, typer.Option("--no-doctor", help="Do not examine this machine first.")
    ] = False,
) -> None:
    """Give this machine's cards to a farm, until it is told to leave (Ctrl-C, SIGTERM).

    What no flag says is as in [node] of the machine's file.
    """
    from node_agent.cluster import machine

    file, directory = machine.absolute(file), machine.absolute(directory)
    said = machine.said_of(
        file,
        {
            "name": name,
            "cpu_cards": cpu_cards,
            "gpu_cards": gpu_cards,
            "renderer": renderer,
            "model": model,
            "seconds_per_chunk": seconds_per_chunk,
            "lanes": lanes,
            "vram": vram,
            "ram": ram,
            "pageable": pageable,
            "profile": profile,
            "loras": loras,
            "inputs": inputs or None,
            "roots": machine.roots_of(roots) if roots else None,
            "tags": tags or None,
            "idle_unload_seconds": idle_unload_seconds,
            "spool": spool,
        },
    )
    settings = machine.settings_of(said, directory=directory, stamps=stamps(models_dir), file=file)
    member = _member(address, said, settings, token_file, leave_seconds)
    if not no_doctor:
        has_gpu = len(member.cards) > member.settings.cpu_cards
        _examine(member.settings, models_dir, require_gpu=has_gpu)
    with machine.only_one(directory):
        _keep(member)


def leave(
    directory: Directory = DIRECTORY,
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for cards to reach a chunk's end.")
    ] = False,
) -> None:
    """Take this machine's cards out of the farm: clips are given up at their next chunk."""
    from node_agent.cluster import machine

    directory = machine.absolute(directory)
    pid = machine.who_joined(directory)
    if pid is None:
        typer.echo("this machine is in no farm", err=True)
        return
    for _ in range(2 if now else 1):
        os.kill(pid, signal.SIGTERM)
        time.sleep(0.2)  # two signals that come together are one
    while machine.who_joined(directory) == pid:
        time.sleep(0.1)
    typer.echo("this machine has left the farm", err=True)


def _member(
    address: str,
    said: Mapping[str, Any],
    settings: NodeSettings,
    token_file: Path | None,
    leave_seconds: float,
) -> Membership:
    """What this machine is to the farm. Raises `JoinError`, `NodeFileError`."""
    import psutil

    from node_agent.cluster import machine
    from node_agent.cluster.keeper import Membership
    from node_agent.cluster.ray_node import Head

    return Membership(
        head=Head.parse(address),
        name=machine.name_of(said),
        settings=settings,
        cards=tuple(machine.find_cards(said, settings.node_file)),
        ram_bytes=psutil.virtual_memory().total,
        token=machine.ray_token(token_file),
        leave_seconds=leave_seconds,
    )


def _examine(settings: NodeSettings, models_dir: Path, *, require_gpu: bool) -> None:
    """The doctor: a machine that is not fit does not join. Raises `typer.Exit`."""
    from node_agent.cli.doctor import doctor

    typer.echo("examining this machine (--no-doctor leaves it out)", err=True)
    doctor(
        model=settings.model,
        farm=None,
        ca=None,
        spool=settings.spool,
        models_dir=models_dir,
        require_gpu=require_gpu,
        as_json=False,
    )


def _keep(member: Membership) -> None:
    """Stay in the farm until a signal; a second one does not wait for the cards."""
    from node_agent.cluster.keeper import Keeper, ray_directory

    directory = ray_directory(member.settings.directory)
    keeper = Keeper(member, directory, lambda line: typer.echo(line, err=True))

    def told(*_: object) -> None:
        (keeper.hurry if keeper.stop.is_set() else keeper.stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    member.settings.save()
    keeper.run()
