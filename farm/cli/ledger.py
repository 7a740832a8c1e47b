"""`farm backup`, `farm restore`: on the machine of the farm's head."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output, words
from farm.cli.head import require_head
from farm.cli.options import ConfigFile, DataDir, Json, command, settings
from farm.domain.errors import FarmError

if TYPE_CHECKING:
    from farm.fleet_ray.settings import HeadSettings
    from farm.store.backup_file import OnRows


class FarmRuns(FarmError):
    """The farm is running, and its ledger cannot be taken from under it."""

    reason = "FARM_RUNS"


@command
def backup(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Made; it must not be there.")],
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Write the whole ledger into a file, also while the farm runs."""
    require_head()
    from farm.fleet_ray.ledger import url_of
    from farm.store.backup import backup as write
    from farm.store.backup import plain

    head = head_settings(config, data_dir)
    with _bar("rows") as on_rows:
        manifest = write(url_of(head), file.absolute(), at=time.time(), on_rows=on_rows)
    size = file.stat().st_size
    if as_json:
        output.print_json({"file": str(file), "bytes": size, **plain(manifest)})
    else:
        output.say(f"{file}: {words.plural(manifest.rows, 'row')}, {words.size(size)}")
    return output.OK


@command
def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="What `farm backup` wrote.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="In the place of a ledger that holds something.")
    ] = False,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Put a backup in the place of the ledger of a farm that is stopped.

    The file is verified before anything is touched. What cards held is queued again.
    """
    require_head()
    from farm.fleet_ray.ledger import remember_farm, url_of
    from farm.fleet_ray.state import read_state
    from farm.store.backup import plain
    from farm.store.identity import farm_of
    from farm.store.restore import restore as put_back

    head = head_settings(config, data_dir)
    if read_state(head) is not None:
        raise FarmRuns(f"the farm in {head.data_dir} runs: `farm down` first")
    url = url_of(head)
    if not head.ledger:
        head.store_path.parent.mkdir(parents=True, exist_ok=True)
    with _bar("rows") as on_rows:
        manifest = put_back(file, url, at=time.time(), replace=replace, on_rows=on_rows)
    remember_farm(head, farm_of(url) or "")
    if as_json:
        output.print_json({"file": str(file), **plain(manifest)})
    else:
        rows = words.plural(manifest.rows, "row")
        output.say(f"{rows} restored from {file}; `farm up` goes on with them")
    return output.OK


def head_settings(config: Path | None, data_dir: Path | None) -> HeadSettings:
    """What the farm here was started with. Raises `FarmError`."""
    from farm.fleet_ray.settings import HeadSettings

    found = settings(config, data_dir=data_dir)
    try:
        return HeadSettings.load(found.data_dir)
    except (OSError, ValueError) as error:
        raise FarmError(
            f"no farm was ever started in {found.data_dir} ({error}): name its --data-dir"
        ) from error


@contextmanager
def _bar(unit: str) -> Iterator[OnRows]:
    """A bar on a terminal, nothing anywhere else."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn(unit), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    console = output.console(err=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        shown = progress.add_task(unit, total=None)
        yield lambda done, total: progress.update(shown, completed=done, total=total)
