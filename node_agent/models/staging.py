"""A model directory that is there whole or not at all, and whose making can go on later.

It is made beside its place, as `.NAME.partial`, and renamed at the end. What was made stays there
when the making stops, for the next one to go on from.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from node_agent.files import alone_in, bytes_below
from node_agent.models.info import ModelError
from node_agent.models.manifest import MANIFEST_NAME, Manifest, load_manifest
from node_agent.models.stamps import Stamps
from node_agent.models.verify import verify
from node_agent.models.watch import UNWATCHED, Watch


@contextmanager
def staged(directory: Path, stamps: Path | None = None) -> Iterator[Path]:
    """Give the directory to make a model in; when the block ends it takes `directory`'s place.

    A model that is in that place is taken along as a beginning. Raises `ModelError` when another
    process is making the same.
    """
    partial = directory.with_name(f".{directory.name}.partial")
    if directory.exists() and any(directory.iterdir()):
        shutil.rmtree(partial, ignore_errors=True)
        directory.rename(partial)
    partial.mkdir(parents=True, exist_ok=True)
    busy = ModelError(f"{partial}: another process is at work there; wait for it")
    with alone_in(partial, busy):
        yield partial
        known = Stamps(stamps)
        partial.replace(directory)
        known.moved(partial, directory)
        known.save()


def is_there(
    directory: Path, digest: str, *, stamps: Path | None, watch: Watch = UNWATCHED
) -> bool:
    """Whether the model of this digest is in its place, intact; a damaged one is not.

    Raises `ModelError` when something else is there: it is not ours to replace.
    """
    if not directory.exists() or not any(directory.iterdir()):
        return False
    if not (directory / MANIFEST_NAME).exists():
        raise ModelError(f"{directory}: holds something else; name another directory")
    there = load_manifest(directory)
    if there.digest != digest:
        raise ModelError(
            f"{directory}: holds another model ({there.name}, revision {there.revision},"
            f" digest {there.digest}); name another directory"
        )
    return not verify(directory, stamps=stamps, watch=watch)


def made_there(directory: Path, name: str, revision: str, stamps: Path | None) -> Manifest | None:
    """What was made of another model, if it is in its place, intact; None has it made (again).

    Raises `ModelError` when something else is there.
    """
    if not directory.exists() or not any(directory.iterdir()):
        return None
    if (directory / MANIFEST_NAME).exists():
        there = load_manifest(directory)
        if (there.name, there.revision) == (name, revision):
            return there if not verify(directory, stamps=stamps) else None
    raise ModelError(f"{directory}: holds something else; name another directory")


def require_space(directory: Path, needed: int) -> None:
    """Raises `ModelError` when the disk of `directory` has not `needed` bytes more."""
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise ModelError(
            f"{directory.parent}: {needed} bytes ({needed / 1e9:.1f} GB) are needed and"
            f" {free} ({free / 1e9:.1f} GB) are free; make room first"
        )


def remove_others(partial: Path, wanted: set[str]) -> None:
    """Leave only files of these paths: an earlier attempt may have been at something else."""
    for parent, folders, names in os.walk(partial, topdown=False):
        for name in [*names, *folders]:
            path = Path(parent) / name
            if path.is_dir() and not path.is_symlink():
                with suppress(OSError):  # not empty: something in it is wanted
                    path.rmdir()
            elif path.is_symlink() or path.relative_to(partial).as_posix() not in wanted:
                path.unlink()


def bytes_to_come(partial: Path, size: int) -> int:
    """Bytes that are still to come of `size`."""
    return max(size - bytes_below(partial), 0)
