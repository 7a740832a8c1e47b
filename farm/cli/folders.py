"""What the commands on fetched takes share: a folder of them, or a batch that is fetched for it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output
from farm.cli.options import connect, settings

if TYPE_CHECKING:
    from farm.config import FarmConfig
    from farm.media.takes import Take

Where = Annotated[
    str,
    typer.Argument(
        metavar="DIR|BATCH", help="A folder that `farm fetch` filled, or a batch of the farm."
    ),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A folder that `farm fetch` filled.")]
Approved = Annotated[bool, typer.Option("--approved", help="Only takes that were approved.")]
Versions = Annotated[
    bool, typer.Option("--all-versions", help="Every version, not only each clip's latest.")
]
Order = Annotated[
    str, typer.Option(metavar="NAME", help="Sorted by row, name, or a column of the batch's own.")
]
FontFile = Annotated[
    Path | None,
    typer.Option(
        "--font", help="A .ttf or .otf file for other scripts; the built-in one writes Latin."
    ),
]


@contextmanager
def folder_of(where: str, found: FarmConfig) -> Iterator[Path]:
    """The folder of that name; else the batch's takes, fetched for as long as they are needed."""
    if Path(where).is_dir():
        yield Path(where)
        return
    from farm.client.errors import FetchFailed

    with tempfile.TemporaryDirectory(prefix="farm-") as folder:
        with connect(found) as farm:
            fetched = farm.fetch(where, Path(folder))
        if fetched.failed:
            raise FetchFailed("\n".join(fetched.failed))
        yield Path(folder)


def farm_settings(
    endpoint: str | None, ca: Path | None, data_dir: Path | None, config: Path | None
) -> FarmConfig:
    """The settings, for the farm that has the batch."""
    return settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)


def own_place(where: str, name: str) -> Path:
    """Where a command writes unless told: into the folder, or beside where it runs for a batch."""
    return Path(where) / name if Path(where).is_dir() else Path(f"{where}-{name}")


def note_unwritable(texts: Sequence[str], font: Path | None) -> None:
    """Say which characters the font cannot write: they show as boxes."""
    from farm.media.text import unwritable

    if letters := unwritable(texts, font):
        shown = letters[:20] + ("..." if len(letters) > 20 else "")
        output.note(f"farm: the font has no picture for {shown}: name another with --font FILE.ttf")


def taken(
    folder: Path, *, approved: bool, every_version: bool = False, order: str = "row"
) -> list[Take]:
    """The takes of a folder. Raises `BadDelivery` when there is none."""
    from farm.media.takes import takes_of

    return takes_of(folder, approved=approved, every_version=every_version, order=order)
