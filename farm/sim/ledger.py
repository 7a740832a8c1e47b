"""The ledger of a simulation: a real one in a temporary file, on a disk that may fail."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, cast

from farm.domain.ledger import Commit
from farm.ports import Store
from farm.sim.world import World
from farm.store import SqlStore, open_store


@contextmanager
def simulated_ledger() -> Iterator[Path]:
    """A new ledger's file, gone at the end."""
    with tempfile.TemporaryDirectory(prefix="heliostat-sim-") as directory:
        path = Path(directory, "farm.db")
        path.write_bytes(empty_ledger())
        yield path


@cache
def empty_ledger() -> bytes:
    """A ledger with its tables: made once, for making one takes longer than many a simulation."""
    with tempfile.TemporaryDirectory(prefix="heliostat-sim-") as directory:
        path = Path(directory, "farm.db")
        open_store(path, durable=False).close()
        return path.read_bytes()


class FailingStore:
    """A store whose commits sometimes fail, before the disk has them or after."""

    def __init__(self, store: SqlStore, world: World) -> None:
        self._store = store
        self._world = world

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def commit(self, epoch: int, at: float, commit: Commit) -> None:
        """See `Store.commit`. Raises OSError by chance."""
        share, world = self._world.faults.commit_error, self._world
        world.record.counts["commits"] += 1
        if not world.strikes(share, "commit error"):
            self._store.commit(epoch, at, commit)
            return
        if world.dice("commit").random() < 0.5:
            self._store.commit(epoch, at, commit)
        raise OSError(5, "simulated: the disk gave no answer")


def failing(store: SqlStore, world: World) -> Store:
    """The store, on a disk that may fail."""
    return cast("Store", FailingStore(store, world))


def copy_to(path: Path, target: Path) -> None:
    """Keep a simulation's ledger to be looked at."""
    for suffix in ("", "-wal", "-shm"):
        source = path.with_name(path.name + suffix)
        if source.exists():
            shutil.copy(source, target.with_name(target.name + suffix))
