"""The table of a model's pieces: what neighbours give each other, each known by its SHA-256.

It follows from the manifest and the files, so every node that makes it makes the same.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node_agent.files import write_atomic
from node_agent.models.info import ModelError
from node_agent.models.manifest import Manifest, is_digest
from node_agent.models.watch import UNWATCHED, Watch

PIECE_BYTES: Final = 16 << 20
"""Of a large model; each file begins a piece of its own."""
PIECE_BYTES_MIN: Final = 256 << 10
PIECES_FEW: Final = 256
"""A small model has smaller pieces, so that it still has about as many."""
PIECES_MAX: Final = 16_384
"""A huge model has larger pieces instead of more."""
FORMAT_VERSION: Final = 1
_READ_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a file."""

    path: str
    offset: int
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True)
class PieceTable:
    """The hashes of all pieces of one model."""

    digest: str
    """The manifest's."""
    piece_bytes: int
    hashes: Mapping[str, tuple[str, ...]]
    """Of each file's pieces, by its path."""

    def to_bytes(self) -> bytes:
        """Canonical JSON: what neighbours hand around, and what is hashed."""
        fields = {
            "format_version": FORMAT_VERSION,
            "digest": self.digest,
            "piece_bytes": self.piece_bytes,
            "files": self.hashes,
        }
        return json.dumps(fields, sort_keys=True, separators=(",", ":")).encode()

    @property
    def sha256(self) -> str:
        """What names the table."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def pieces(self, manifest: Manifest) -> tuple[Piece, ...]:
        """All pieces, in the order that their numbers are of: file by file, as the manifest."""
        return tuple(
            Piece(
                file.path,
                number * self.piece_bytes,
                min(self.piece_bytes, file.size - number * self.piece_bytes),
                sha256,
            )
            for file in manifest.files
            for number, sha256 in enumerate(self.hashes[file.path])
        )


def piece_bytes_of(size: int) -> int:
    """Bytes of the pieces of a model of `size` bytes."""
    found = PIECE_BYTES
    while found > PIECE_BYTES_MIN and size < found * PIECES_FEW:
        found //= 2
    while size > found * PIECES_MAX:
        found *= 2
    return found


def parse_table(content: bytes, manifest: Manifest, where: str) -> PieceTable:
    """Read the table of this manifest's pieces; `where` names it in messages.

    Raises `ModelError` when it is another's, or broken.
    """
    try:
        fields: dict[str, Any] = json.loads(content)
        if fields["format_version"] != FORMAT_VERSION:
            raise ModelError(f"{where}: format version {fields['format_version']!r} is not known")
        hashes = {str(path): tuple(map(str, found)) for path, found in fields["files"].items()}
        table = PieceTable(str(fields["digest"]), int(fields["piece_bytes"]), hashes)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ModelError(f"{where}: not a table of pieces ({error!r})") from error
    if table.digest != manifest.digest or table.piece_bytes < 1:
        raise ModelError(f"{where}: of the model {table.digest}, wanted is {manifest.digest}")
    counts = {file.path: -(-file.size // table.piece_bytes) for file in manifest.files}
    if {path: len(found) for path, found in hashes.items()} != counts:
        raise ModelError(f"{where}: its files are not those of the manifest {manifest.digest}")
    if not all(is_digest(sha256) for found in hashes.values() for sha256 in found):
        raise ModelError(f"{where}: holds what is no SHA-256")
    return table


class PieceHasher:
    """Hashes a file's pieces as its bytes come by, in their order."""

    def __init__(self, piece_bytes: int) -> None:
        self._piece_bytes = piece_bytes
        self._done: list[str] = []
        self._piece, self._size = hashlib.sha256(), 0

    def update(self, block: bytes) -> None:
        """Some bytes more."""
        rest = memoryview(block)
        while rest:
            taken = rest[: self._piece_bytes - self._size]
            self._piece.update(taken)
            self._size += len(taken)
            rest = rest[len(taken) :]
            if self._size == self._piece_bytes:
                self._close()

    def hashes(self) -> tuple[str, ...]:
        """Of all pieces; to be called once, at the file's end."""
        if self._size:
            self._close()
        return tuple(self._done)

    def _close(self) -> None:
        self._done.append(self._piece.hexdigest())
        self._piece, self._size = hashlib.sha256(), 0


@dataclass(slots=True)
class Tally:
    """Pieces hashed while files came in and were verified: they need not be read again."""

    piece_bytes: int = 0
    """To be set before the first file."""
    hashes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def keep(self, path: str, hasher: PieceHasher) -> None:
        """This file was verified."""
        with self._lock:
            self.hashes[path] = hasher.hashes()


def table_of(
    directory: Path, manifest: Manifest, tally: Tally | None = None, watch: Watch = UNWATCHED
) -> PieceTable:
    """The table of a model that is here. Files that were not tallied are read, and hold against
    the manifest once more. Raises `ModelError`, OSError."""
    piece_bytes = piece_bytes_of(manifest.size)
    known = tally.hashes if tally and tally.piece_bytes == piece_bytes else {}
    watch.begin(f"hashing pieces of {manifest.name}", manifest.size)
    hashes = {}
    for file in manifest.files:
        if file.path in known:
            hashes[file.path] = known[file.path]
            continue
        whole, pieces = hashlib.sha256(), PieceHasher(piece_bytes)
        with (directory / file.path).open("rb") as source:
            while block := source.read(_READ_BYTES):
                whole.update(block)
                pieces.update(block)
                watch.advance(len(block))
        if whole.hexdigest() != file.sha256:
            raise ModelError(f"{directory / file.path}: not what its manifest says; fetch it again")
        hashes[file.path] = pieces.hashes()
    return PieceTable(manifest.digest, piece_bytes, hashes)


def known_table(
    directory: Path, manifest: Manifest, stamps: Path, tally: Tally | None = None
) -> PieceTable:
    """The table of a model that is here, made where it is not remembered. Raises as `table_of`."""
    table = remembered(stamps, manifest)
    if table is None:
        table = table_of(directory, manifest, tally)
        remember(stamps, table)
    return table


def remembered(stamps: Path, manifest: Manifest) -> PieceTable | None:
    """The table that was made, or got, on this node; None where there is none that is whole."""
    path = _path(stamps, manifest.digest)
    with suppress(OSError, ModelError):
        return parse_table(path.read_bytes(), manifest, str(path))
    return None


def remember(stamps: Path, table: PieceTable) -> None:
    """Keep it beside the hashes of the files. Raises OSError."""
    stamps.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(_path(stamps, table.digest), table.to_bytes())


def _path(stamps: Path, digest: str) -> Path:
    return stamps.with_name(f"pieces-{digest}.json")
