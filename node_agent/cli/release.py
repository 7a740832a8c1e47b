"""`farm-node release`: versions of Heliostat on this node, for a farm's rollout to choose from."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from node_agent.cli.options import Json
from node_agent.node_file import DEFAULT_PATH, load_node
from node_agent.releases.catalog import (
    RELEASES_DIR,
    RELEASES_VARIABLE,
    Release,
    current,
    installed,
)

app = typer.Typer(
    help="Versions of Heliostat on this node, side by side: `farm upgrade` brings cards to one.",
    no_args_is_help=True,
)

ReleasesDir = Annotated[
    Path | None,
    typer.Option(
        help="Where this node's releases are.",
        envvar=RELEASES_VARIABLE,
        show_default=f"`releases` of the node's file, else {RELEASES_DIR}",
    ),
]
Version = Annotated[str, typer.Argument(metavar="VERSION", show_default=False)]


@app.command()
def add(
    source: Annotated[
        str, typer.Argument(help="A wheel of Heliostat, or a version.", show_default=False)
    ],
    releases_dir: ReleasesDir = None,
    find_links: Annotated[
        list[str] | None,
        typer.Option(metavar="DIR", help="As pip's: where wheels are; may be repeated."),
    ] = None,
    lock: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Requirements with hashes: all else is installed by them alone."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Install a release beside the others: whole, or not at all. Nothing that runs changes."""
    from node_agent.releases.install import Source
    from node_agent.releases.install import add as make

    wanted = Source.parse(source, find_links=find_links or (), lock=lock)
    release, made = make(wanted, _where(releases_dir))
    if as_json:
        typer.echo(json.dumps({**_about(release), "added": made}))
    else:
        typer.echo(f"{release.directory}: {'added' if made else 'was there already'}")


@app.command(name="list")
def list_(releases_dir: ReleasesDir = None, as_json: Json = False) -> None:
    """The releases of this node."""
    where = _where(releases_dir)
    found = [_about(release) for release in installed(where)]
    if as_json:
        typer.echo(json.dumps(found))
        return
    if not found:
        typer.echo(f"{where} has no releases yet: `farm-node release add VERSION`")
        return
    table = Table("release", "interpreter", "", box=None)
    for each in found:
        marks = [name for name in ("current", "running") if each[name]]
        table.add_row(str(each["version"]), str(each["python"]), ", ".join(marks))
    Console().print(table)


@app.command()
def use(version: Version, releases_dir: ReleasesDir = None) -> None:
    """Start with this release from the next start of the node's service on."""
    from node_agent.releases.install import use as choose

    release = choose(version, _where(releases_dir))
    typer.echo(f"{release.version} is what the next start of this node's service starts with")


@app.command()
def remove(version: Version, releases_dir: ReleasesDir = None) -> None:
    """Remove a release that nobody uses."""
    from node_agent.releases.install import remove as take_away

    take_away(version, _where(releases_dir))
    typer.echo(f"{version}: removed")


def _where(given: Path | None) -> Path:
    """The directory that is meant. Raises `NodeFileError`."""
    said = given or load_node(DEFAULT_PATH.expanduser()).get("releases") or RELEASES_DIR
    return Path(said).expanduser().absolute()


def _about(release: Release) -> dict[str, str | bool]:
    """A release for JSON."""
    return {
        "version": release.version,
        "python": str(release.python),
        "current": current(release.directory.parent) == release.version,
        "running": Path(sys.prefix) == release.directory,
    }
