"""Hashes of files that have not changed since they were read, in one JSON file for many models."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from node_agent.files import sha256_of_file, write_atomic
from node_agent.models.info import ModelError, read_config
from node_agent.models.watch import UNWATCHED, Watch

STAMPS_NAME = "verified.json"
"""In the directory of a node's models; the node's agents look there, too."""


class Stamps:
    """What is known of files by size, modification time and inode; a cache, without `path` none.

    Several processes may share the file: what another one forgets is only read again. What stands
    in the file of that name in the models' own directory is believed as well: on a volume that
    many nodes only read, whoever put a model there has hashed it for all of them.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._known = _read(path)
        self._new: dict[str, list[Any]] = {}
        self._beside: dict[Path, dict[str, list[Any]]] = {}

    def known(self, file: Path) -> str | None:
        """The SHA-256 of a file as it is now, if it has been read since it last changed."""
        path = file.resolve()
        for stamps in (self._known, self._of_its_models(path)):
            entry = stamps.get(str(path))
            if entry is not None and entry[:3] == _state(file):
                return str(entry[3])
        return None

    def sha256(self, file: Path, *, reread: bool = False, watch: Watch = UNWATCHED) -> str:
        """The SHA-256 of a file, read only where it has to be, or with `reread` in any case."""
        before = _state(file)
        if not reread and (known := self.known(file)) is not None:
            watch.advance(before[0])
            return known
        found = sha256_of_file(file, watch.advance)
        self._remember(file, [*before, found])
        return found

    def record(self, file: Path, sha256: str) -> None:
        """A file was hashed on its way here."""
        self._remember(file, [*_state(file), sha256])

    def moved(self, source: Path, target: Path) -> None:
        """A directory has been renamed; its files are the same."""
        for before in [path for path in self._known if Path(path).is_relative_to(source.resolve())]:
            entry = self._known.pop(before)
            self._new.pop(before, None)
            self._remember(target / Path(before).relative_to(source.resolve()), entry)

    def save(self) -> None:
        """Add what is new to what others have written meanwhile; files that are gone are left."""
        if self._path is None or not self._new:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        kept = {path: entry for path, entry in _read(self._path).items() if Path(path).exists()}
        write_atomic(self._path, json.dumps({**kept, **self._new}).encode())

    def _of_its_models(self, path: Path) -> dict[str, list[Any]]:
        """What is remembered in the directory of models that a file is in."""
        if self._path is None:
            return {}
        where = next((d for d in path.parents if (d / STAMPS_NAME).exists()), None)
        if where is None:
            return {}
        if where not in self._beside:
            self._beside[where] = _read(where / STAMPS_NAME)
        return self._beside[where]

    def _remember(self, file: Path, entry: list[Any]) -> None:
        self._known[str(file.resolve())] = self._new[str(file.resolve())] = entry


def _state(file: Path) -> list[int]:
    stat = file.stat()
    return [stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _read(path: Path | None) -> dict[str, list[Any]]:
    if path is not None and path.exists():
        with suppress(ModelError):  # a cache: broken, it is made again
            return {
                file: entry
                for file, entry in read_config(path).items()
                if isinstance(entry, list) and len(entry) == 4
            }
    return {}
