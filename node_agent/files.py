"""Files that are there whole or not at all: written beside their place, synced, then renamed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_READ_BYTES = 1 << 20


@contextmanager
def atomic_path(destination: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; what was written there takes `destination`'s place.

    The content is synced to disk before the rename. When the block raises, the temporary file is
    removed and whatever was at `destination` stays. Raises OSError (ENOSPC when the disk is full).
    """
    temporary = destination.with_name(f".{destination.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync_file(temporary)
        temporary.replace(destination)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def alone_in(directory: Path, otherwise: Exception) -> Iterator[None]:
    """Only one process at a time is here in a directory. Raises `otherwise` for the others."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise otherwise from None
        yield
    finally:
        os.close(descriptor)


def sync_file(path: Path) -> None:
    """Return when a file's content is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_atomic(destination: Path, content: bytes) -> None:
    """Write `content` to `destination` in one step, as seen by every reader, crash or not."""
    with atomic_path(destination) as temporary:
        temporary.write_bytes(content)


def sha256_of_file(path: Path, tell: Callable[[int], None] = lambda _: None) -> str:
    """SHA-256 of a file's content, in hex; `tell` is told of every block how long it was."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_READ_BYTES):
            digest.update(block)
            tell(len(block))
    return digest.hexdigest()


def bytes_below(directory: Path) -> int:
    """Bytes of the files under a directory; what vanishes while it is counted counts nothing."""
    total = 0
    for folder, _, names in os.walk(directory):  # it passes over folders that have gone
        for name in names:
            with suppress(OSError):
                total += os.stat(os.path.join(folder, name)).st_size
    return total


def free_bytes(directory: Path) -> int | None:
    """What may still be written where a directory lies; None where the system does not say."""
    with suppress(OSError):
        return shutil.disk_usage(directory).free
    return None
