"""`farm-node model`: models are local directories, pinned by a manifest."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import asdict
from enum import StrEnum
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from node_agent.cli import model_transfer
from node_agent.cli.bars import watching
from node_agent.cli.options import MODELS, Directory, Json, ModelsDir, stamps
from node_agent.cli.output import about, refuse, size, tell
from node_agent.models import MANIFEST_NAME, ModelError, load_manifest, verify, write_manifest
from node_agent.models.catalog import Entry, catalog
from node_agent.models.mini import copy_mini

app = typer.Typer(
    help="Models and LoRAs: local directories, pinned by a manifest. Exit codes: 0 fine,"
    " 1 a model is damaged or could not be had, 2 the command cannot be done as it was given.",
    no_args_is_help=True,
)


TINY_NAME = "helios-tiny"


class Variant(StrEnum):
    """Kinds of Helios."""

    DISTILLED = "distilled"
    MID = "mid"
    BASE = "base"


@app.command()
def pin(
    directory: Directory,
    name: Annotated[
        str, typer.Option(help="What it is called; else as before, or like the directory.")
    ] = "",
    revision: Annotated[
        str, typer.Option(help='Where it comes from; else as before, or "pinned by hand".')
    ] = "",
    models_dir: ModelsDir = MODELS,
    as_json: Json = False,
) -> None:
    """Write the manifest of weights that are there: a model, or a LoRA.

    A directory with a model_index.json is a model; one with .safetensors and without it is a LoRA.
    The digest is of name, revision and files: nodes that pin the same files by hand have to say
    the same name and revision.
    """
    if not directory.is_dir():
        raise refuse(f"{directory}: there is no such directory; give the one with the weights")
    before = load_manifest(directory) if (directory / MANIFEST_NAME).exists() else None
    with watching() as watch:
        manifest = write_manifest(
            directory,
            name=name or (before.name if before else directory.resolve().name),
            revision=revision or (before.revision if before else "pinned by hand"),
            stamps=stamps(models_dir),
            watch=watch,
        )
    tell(directory, manifest, as_json)


@app.command(name="verify")
def verify_model(
    directory: Directory, models_dir: ModelsDir = MODELS, as_json: Json = False
) -> None:
    """Read every byte of a model and hold it against the manifest.

    Exit code 1 when something is wrong: a changed bit, a short or missing file, a file that is not
    in the manifest, code or a pickle under whatever name, a link out of the directory.
    """
    with watching() as watch:
        problems = verify(directory, stamps=stamps(models_dir), reread=True, watch=watch)
    if as_json:
        typer.echo(json.dumps([asdict(problem) for problem in problems]))
    for problem in problems if not as_json else ():
        typer.echo(str(problem), err=True)
    if problems:
        raise typer.Exit(1)
    if not as_json:
        manifest = load_manifest(directory)
        typer.echo(f"{directory}: {manifest.name}, digest {manifest.digest}: every file is right")


@app.command(name="list")
def list_models(models_dir: ModelsDir = MODELS, as_json: Json = False) -> None:
    """List pinned models and LoRAs, with what is known of them without reading them."""
    entries = catalog(models_dir.expanduser(), stamps(models_dir))
    if as_json:
        typer.echo(json.dumps([_values(entry) for entry in entries]))
        return
    if not entries:
        typer.echo(f"{models_dir}: no pinned model; `farm-node model fetch` gets one", err=True)
        return
    table = Table(box=None)
    for header in ("name", "kind", "variant", "digest", "size", "state", "directory"):
        table.add_column(header, overflow="fold")
    for entry in entries:
        manifest = entry.manifest
        cells = (
            ("?", "?", "", "?", "?")
            if manifest is None
            else (
                manifest.name,
                manifest.kind,
                manifest.variant or "-",
                manifest.digest[:12],
                size(manifest.size),
            )
        )
        table.add_row(*cells, entry.state.value, str(entry.directory))
    Console(width=None if sys.stdout.isatty() else 240, markup=False, highlight=False).print(table)
    for entry in entries:
        if entry.detail:
            typer.echo(f"{entry.directory}: {entry.detail}", err=True)


@app.command()
def tiny(
    directory: Directory,
    variant: Annotated[Variant, typer.Option(help="Which Helios.")] = Variant.DISTILLED,
    seed: Annotated[int, typer.Option(help="Of the random weights.")] = 0,
    force: Annotated[bool, typer.Option(help="Build it again when it is there.")] = False,
    as_json: Json = False,
) -> None:
    """Build helios-tiny: random weights, the real classes, a tokenizer trained on the spot."""
    if directory.exists() and any(directory.iterdir()):
        if not force:
            raise refuse(
                f"{directory} is not empty: give another directory, or --force to build it again"
            )
        if load_manifest(directory).name != TINY_NAME:
            raise refuse(f"{directory} holds another model: give another directory")
        shutil.rmtree(directory)
    from node_agent.render.helios.tiny import build_tiny  # torch: only where it is needed

    tell(directory, build_tiny(directory, variant=variant.value, seed=seed), as_json)


@app.command()
def mini(
    directory: Directory,
    distilled: Annotated[
        bool, typer.Option("--distilled", help="The one of 128x128, in three stages of few steps.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Copy helios-mini, the small trained model that comes with this package.

    It shows one coloured shape that moves before a coloured ground, 64x64, as its prompts say:
    "A red disc moves to the left on a blue ground."
    """
    try:
        manifest = copy_mini(directory, distilled=distilled)
    except ModelError as error:
        raise refuse(str(error)) from None
    tell(directory, manifest, as_json)


def _values(entry: Entry) -> dict[str, Any]:
    state = {"state": entry.state.value, "detail": entry.detail or None}
    if entry.manifest is None:
        return {"directory": str(entry.directory), **state}
    return {**about(entry.directory, entry.manifest), **state}


model_transfer.add_to(app)
