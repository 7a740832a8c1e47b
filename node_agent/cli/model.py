"""`farm-node model`: models are local directories, pinned by a manifest."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from node_agent.models import load_manifest, verify

app = typer.Typer(help="Models: local directories, pinned by a manifest.", no_args_is_help=True)

Directory = Annotated[Path, typer.Argument(help="The model's directory.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]


class Variant(StrEnum):
    """Kinds of Helios."""

    DISTILLED = "distilled"
    BASE = "base"


@app.command()
def tiny(
    directory: Directory,
    variant: Annotated[Variant, typer.Option(help="Which Helios.")] = Variant.DISTILLED,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    force: Annotated[bool, typer.Option(help="Build it again when it is there.")] = False,
    as_json: Json = False,
) -> None:
    """Build helios-tiny: random weights, the real classes, a tokenizer trained on the spot."""
    if directory.exists() and any(directory.iterdir()) and not force:
        _refuse(f"{directory} is not empty: give another directory, or --force to build it again")
    from node_agent.render.helios.tiny import build_tiny  # torch: only where it is needed

    manifest = build_tiny(directory, variant=variant.value, seed=seed)
    size = sum(file.size for file in manifest.files)
    if as_json:
        about = {"directory": str(directory), "digest": manifest.digest, "bytes": size}
        typer.echo(json.dumps(about))
    else:
        typer.echo(f"{directory}: {manifest.name}, {size / 1e6:.1f} MB, digest {manifest.digest}")


@app.command(name="verify")
def verify_model(directory: Directory, as_json: Json = False) -> None:
    """Hold every file of a model against its manifest; exit code 1 when something is wrong."""
    problems = verify(directory)
    if as_json:
        typer.echo(json.dumps([str(problem) for problem in problems]))
    else:
        for problem in problems:
            typer.echo(str(problem), err=True)
    if problems:
        raise typer.Exit(1)
    if not as_json:
        manifest = load_manifest(directory)
        typer.echo(f"{directory}: {manifest.name}, digest {manifest.digest}: every file is right")


def _refuse(text: str) -> None:
    typer.echo(text, err=True)
    raise typer.Exit(2)
