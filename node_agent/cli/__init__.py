"""`farm-node`: what is done on a machine with cards."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from heliostat.services.errors import ServiceError
from node_agent.burnin.errors import BurnInError
from node_agent.cli import (
    bench,
    burn_in,
    compare,
    doctor,
    install,
    inventory,
    join,
    model,
    power_limit,
    profiles,
    reels,
    release,
    render,
)
from node_agent.cluster.errors import JoinError
from node_agent.models import ModelError
from node_agent.node_file import NodeFileError
from node_agent.reel.reel import ReelError
from node_agent.releases.catalog import ReleaseError, running_release

app = typer.Typer(
    help="What is done on a machine with cards.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(model.app, name="model")
app.add_typer(release.app, name="release")
app.command()(bench.bench)
app.command()(burn_in.burn_in)
app.command()(compare.compare)
app.command()(doctor.doctor)
app.command()(install.install)
app.command()(inventory.inventory)
app.command()(join.join)
app.command()(join.leave)
app.command()(power_limit.power_limit)
app.command()(profiles.profiles)
app.command(help=render.HELP)(render.render)
app.command()(reels.extend)
app.command()(reels.branch)
app.command()(reels.redecode)
app.command()(install.uninstall)


def _say_version(asked: bool) -> None:
    if asked:
        typer.echo(f"heliostat {running_release()}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_say_version, is_eager=True, help="Say the version, and end."
        ),
    ] = False,
) -> None:
    """What is done on a machine with cards."""


def main() -> None:
    """Run the command line."""
    try:
        app()
    except ModuleNotFoundError as error:
        typer.echo(f"{error.name} is not installed: this needs `heliostat[node]`", err=True)
        sys.exit(1)
    except (
        BurnInError,
        JoinError,
        ModelError,
        NodeFileError,
        ReelError,
        ServiceError,
        ReleaseError,
        OSError,
    ) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
