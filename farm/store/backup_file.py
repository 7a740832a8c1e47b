"""A backup's file: a ZIP of JSON lines that any program can read (docs/ledger.md).

`manifest.json` says what is in it; `tables/NAME.jsonl` holds a table, a row on each line as an
array in the order of the manifest's columns. JSON columns are text in it, as the database keeps
them, so that what comes back is the same to the byte.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from farm.domain.errors import FarmError

FORMAT: Final = "heliostat-ledger"
FORMAT_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
LINE_BYTES_MAX: Final = 64 << 20
"""Of one row; a longer one is a damaged file."""

OnRows = Callable[[int, int], None]
"""Told how many rows are done, and of how many."""


class BackupRefused(FarmError):
    """The file is no backup, or not a whole one, or this version cannot read it."""

    reason = "BACKUP_REFUSED"


@dataclass(frozen=True, slots=True, kw_only=True)
class TableEntry:
    """One table of a backup."""

    columns: list[str]
    rows: int
    sha256: str
    """Of its member, uncompressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a backup holds."""

    format: str
    format_version: int
    heliostat: str
    """The version that wrote it."""
    revision: str
    """The schema of its tables."""
    farm_id: str
    epoch: int
    made_at: float
    """Unix seconds."""
    tables: dict[str, TableEntry]
    """In an order in which they can be filled."""

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(entry.rows for entry in self.tables.values())


class BackupWriter:
    """Writes a backup; the file has its name only when it is whole."""

    def __init__(self, path: Path) -> None:
        """Begin the file. Raises `BackupRefused` when there is one, OSError."""
        if path.exists():
            raise BackupRefused(f"{path} exists: name another file")
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        # Prompts are nobody else's business.
        descriptor = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
        self._file = os.fdopen(descriptor, "w+b")
        self._zip = zipfile.ZipFile(self._file, "w", zipfile.ZIP_DEFLATED)

    def table(self, name: str, columns: list[str], rows: Iterable[Sequence[Any]]) -> TableEntry:
        """Write one table."""
        digest, count = hashlib.sha256(), 0
        with self._zip.open(_member(name), "w", force_zip64=True) as out:
            for row in rows:
                text = json.dumps(list(row), ensure_ascii=False, separators=(",", ":"))
                line = text.encode() + b"\n"
                digest.update(line)
                out.write(line)
                count += 1
        return TableEntry(columns=columns, rows=count, sha256=digest.hexdigest())

    def finish(self, manifest: Manifest) -> int:
        """Close it under its name, on the disk. Returns its bytes."""
        text = json.dumps(asdict(manifest), ensure_ascii=False, indent=2)
        self._zip.writestr(MANIFEST, f"{text}\n")
        self._zip.close()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._partial.replace(self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return self._path.stat().st_size

    def abandon(self) -> None:
        """Leave nothing behind."""
        with contextlib.suppress(OSError, ValueError):
            self._zip.close()
        self._file.close()
        self._partial.unlink(missing_ok=True)


class BackupReader:
    """Reads a backup. Every method raises `BackupRefused` for a damaged file."""

    def __init__(self, path: Path) -> None:
        """Open it and read its manifest. Raises OSError."""
        self._path = path
        try:
            self._zip = zipfile.ZipFile(path)
            with self._zip.open(MANIFEST) as file:
                self.manifest = _manifest(json.loads(file.read()))
        except (zipfile.BadZipFile, zlib.error, KeyError, TypeError, ValueError) as error:
            raise self._damaged(f"it is no backup of a ledger: {error}") from error
        if self.manifest.format_version != FORMAT_VERSION:
            raise self._damaged(
                f"its format is version {self.manifest.format_version}, this Heliostat reads "
                f"{FORMAT_VERSION}: use the version that wrote it, {self.manifest.heliostat}"
            )

    def verify(self, on_rows: OnRows) -> None:
        """Read all of it, and compare it with the manifest."""
        done = 0
        for name in self.manifest.tables:
            for _ in self.rows(name):
                done += 1
                if not done % 1000:
                    on_rows(done, self.manifest.rows)
        on_rows(done, self.manifest.rows)

    def rows(self, name: str) -> Iterator[list[Any]]:
        """A table's rows, in order; at the end they are compared with the manifest."""
        entry, digest, count = self.manifest.tables[name], hashlib.sha256(), 0
        try:
            with self._zip.open(_member(name)) as file:
                while line := file.readline(LINE_BYTES_MAX):
                    digest.update(line)
                    count += 1
                    row = json.loads(line)
                    if not isinstance(row, list) or len(row) != len(entry.columns):
                        raise self._damaged(f"row {count} of {name} does not fit its columns")
                    yield row
        except (zipfile.BadZipFile, zlib.error, KeyError, EOFError, ValueError) as error:
            raise self._damaged(f"table {name} cannot be read: {error}") from error
        if (count, digest.hexdigest()) != (entry.rows, entry.sha256):
            raise self._damaged(f"table {name} is not the one that the manifest describes")

    def close(self) -> None:
        """Close the file."""
        self._zip.close()

    def _damaged(self, why: str) -> BackupRefused:
        return BackupRefused(f"{self._path}: {why}; use another backup")


def _member(name: str) -> str:
    return f"tables/{name}.jsonl"


def _manifest(value: Any) -> Manifest:
    """Raises KeyError, TypeError, ValueError for what is no manifest."""
    if value["format"] != FORMAT:
        raise ValueError(f"its format is {value['format']!r}")
    tables = {name: TableEntry(**entry) for name, entry in value["tables"].items()}
    return Manifest(**{**value, "tables": tables})
