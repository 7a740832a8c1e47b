"""`farm-node`: what is done on a machine with cards."""

from __future__ import annotations

import sys

import typer

from node_agent.cli import bench, model
from node_agent.model_info import ModelError

app = typer.Typer(
    help="What is done on a machine with cards.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(model.app, name="model")
app.command()(bench.bench)


def main() -> None:
    """Run the command line."""
    try:
        app()
    except (ModelError, OSError) as error:
        typer.echo(str(error), err=True)
        sys.exit(1)
