"""`farm-node`: what is done on a machine with cards."""

from __future__ import annotations

import sys

import typer

from node_agent.burnin.errors import BurnInError
from node_agent.cli import bench, burn_in, doctor, inventory, model
from node_agent.models import ModelError
from node_agent.node_file import NodeFileError

app = typer.Typer(
    help="What is done on a machine with cards.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(model.app, name="model")
app.command()(bench.bench)
app.command()(burn_in.burn_in)
app.command()(doctor.doctor)
app.command()(inventory.inventory)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except ModuleNotFoundError as error:
        typer.echo(f"{error.name} is not installed: this needs `heliostat[node]`", err=True)
        sys.exit(1)
    except (BurnInError, ModelError, NodeFileError, OSError) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
