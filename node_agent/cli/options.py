"""Options that several commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from node_agent.memory_size import memory_size
from node_agent.models import ModelError
from node_agent.models.catalog import MODELS_DIR
from node_agent.models.stamps import STAMPS_NAME

TOKEN_VARIABLE = "HELIOSTAT_MODEL_TOKEN"  # noqa: S105 - where it is, not what it is

Directory = Annotated[Path, typer.Argument(help="The model's directory.", show_default=False)]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
ModelsDir = Annotated[
    Path,
    typer.Option(
        help="Where this node's models are, and what is known of their hashes.",
        envvar="HELIOSTAT_MODELS_DIR",
    ),
]
TokenFile = Annotated[
    Path | None,
    typer.Option(help=f"File with the bearer token; else {TOKEN_VARIABLE}.", show_default=False),
]
MODELS = MODELS_DIR


def _size(text: str) -> int:
    try:
        return memory_size(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None


Vram = Annotated[
    int | None,
    typer.Option(
        parser=_size,
        metavar="SIZE",
        help="The most of the card's memory to take, as 8G; weights beyond it are streamed.",
        show_default="what is free",
    ),
]
Ram = Annotated[
    int | None,
    typer.Option(
        parser=_size,
        metavar="SIZE",
        help="The most of the host's memory to take, as 26G.",
        show_default="what is free",
    ),
]
Pageable = Annotated[
    bool,
    typer.Option(
        "--pageable",
        help="Stream weights from ordinary memory, where the system refuses to page-lock it.",
    ),
]
Compile = Annotated[
    bool | None,
    typer.Option(
        "--compile/--no-compile",
        help="Compile the transformer's blocks: faster, close to the pictures without, not equal.",
        show_default="on a GPU",
    ),
]


def stamps(models_dir: Path) -> Path:
    """Where the hashes of a node's models are remembered; its agents look there, too."""
    return models_dir.expanduser() / STAMPS_NAME


def token(file: Path | None) -> str:
    """The bearer token, empty when there is none. Raises `ModelError`, OSError."""
    text = file.read_text(encoding="utf-8") if file else os.environ.get(TOKEN_VARIABLE, "")
    text = text.strip()
    if file and not text:
        raise ModelError(f"{file}: is empty; write the token into it")
    if not text.isascii() or any(char.isspace() for char in text):
        raise ModelError("the token must be one word of ASCII characters; make another")
    return text
