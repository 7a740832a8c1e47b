"""What the command line prints: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from node_agent.models import Manifest


def refuse(text: str) -> typer.Exit:
    """Say why a command cannot be done as it was given; to be raised."""
    typer.echo(text, err=True)
    return typer.Exit(2)


def size(count: int) -> str:
    """Bytes in a unit that fits."""
    if count < 1000:
        return f"{count} B"
    value = count / 1000
    for unit in ("kB", "MB"):
        if value < 1000:
            return f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"


def tell(directory: Path, manifest: Manifest, as_json: bool) -> None:
    """Say what is there now."""
    if as_json:
        typer.echo(json.dumps(about(directory, manifest)))
    else:
        what = f"{manifest.name}, {size(manifest.size)}, digest {manifest.digest}"
        typer.echo(f"{directory}: {what}")


def about(directory: Path, manifest: Manifest) -> dict[str, Any]:
    """A model for JSON."""
    return {
        "directory": str(directory),
        "name": manifest.name,
        "kind": manifest.kind,
        "variant": manifest.variant or None,
        "revision": manifest.revision,
        "digest": manifest.digest,
        "bytes": manifest.size,
    }
