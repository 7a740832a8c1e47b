"""What of one model is on this node, piece by piece, and its way to being whole.

A file is called `.pieces` until all of it is there and its SHA-256 is the manifest's. Which pieces
are there is written beside the directory after each, so that a killed process loses none.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Final

from heliostat.swarm.bits import all_of, members
from node_agent.files import sha256_of_file, sync_file, write_atomic
from node_agent.models.info import ModelError, read_config
from node_agent.models.manifest import MANIFEST_NAME, Manifest
from node_agent.models.staging import remove_others, require_space
from node_agent.models.stamps import Stamps
from node_agent.models.swarm.pieces import Piece, PieceTable
from node_agent.models.verify import listed, verify

SUFFIX: Final = ".pieces"


class Stopped(Exception):
    """The farm does not offer this model any more, or the agent ends."""


class PieceStore:
    """A model that is here, or comes; several threads may call it."""

    def __init__(self, directory: Path, manifest: Manifest, table: PieceTable) -> None:
        """`directory` is where it is once it is whole; it counts as whole until `prepare`."""
        self.manifest, self.table = manifest, table
        self.pieces: tuple[Piece, ...] = table.pieces(manifest)
        self.have = all_of(len(self.pieces))
        self._directory = directory
        self._partial = directory.with_name(f".{directory.name}.partial")
        self._notes = directory.with_name(f".{directory.name}.have.json")
        self._lock = threading.Lock()
        self._of: dict[str, int] = {file.path: 0 for file in manifest.files}
        for number, piece in enumerate(self.pieces):
            self._of[piece.path] |= 1 << number

    @property
    def bytes_here(self) -> int:
        """Of the pieces that are here."""
        return sum(self.pieces[number].size for number in members(self.have))

    def open(self, number: int) -> BinaryIO | None:
        """The file that a piece is in, to be read from its offset on; None if it is not here."""
        if not self.have >> number & 1:
            return None
        path = self.pieces[number].path
        for place in (
            self._partial / (path + SUFFIX),
            self._partial / path,
            self._directory / path,
        ):
            with suppress(FileNotFoundError):  # it was renamed meanwhile
                return place.open("rb")
        return None

    def prepare(self, partial: Path, known: Stamps) -> None:
        """Find what an earlier attempt left in the staged directory, and make room for the rest.

        Raises `ModelError` where the disk is short.
        """
        paths = {file.path for file in self.manifest.files}
        remove_others(partial, paths | {path + SUFFIX for path in paths})
        noted, self.have = self._noted(), 0
        for file in self.manifest.files:
            place, coming = partial / file.path, partial / (file.path + SUFFIX)
            place.parent.mkdir(parents=True, exist_ok=True)
            if place.is_file() and known.sha256(place) == file.sha256:
                self.have |= self._of[file.path]
                continue
            place.unlink(missing_ok=True)
            if coming.is_file() and coming.stat().st_size == file.size:
                self.have |= noted & self._of[file.path]
        require_space(partial, self.manifest.size - self.bytes_here)
        for file in self.manifest.files:
            if not (partial / file.path).exists():
                with (partial / (file.path + SUFFIX)).open("ab") as made:
                    made.truncate(file.size)

    def write(self, number: int, content: bytes) -> None:
        """Put a piece that was verified where it belongs; it counts once it is noted."""
        piece = self.pieces[number]
        with suppress(FileNotFoundError):  # it came twice, and the file is whole already
            descriptor = os.open(self._partial / (piece.path + SUFFIX), os.O_WRONLY)
            try:
                done = 0
                while done < len(content):
                    done += os.pwrite(descriptor, content[done:], piece.offset + done)
            finally:
                os.close(descriptor)

    def note(self, number: int) -> str | None:
        """A piece was written. Returns the file that has all of its pieces by it."""
        with self._lock:
            self.have |= 1 << number
            self._save_notes()
        path = self.pieces[number].path
        return path if self._of[path] & ~self.have == 0 else None

    def unfinished(self) -> Iterator[str]:
        """Files that have all of their pieces, and not yet their name."""
        for path, pieces in self._of.items():
            if pieces & ~self.have == 0 and (self._partial / (path + SUFFIX)).exists():
                yield path

    def finish_file(self, path: str, known: Stamps) -> int:
        """Hold a file that has all of its pieces against the manifest, and give it its name.

        Returns the pieces that are not what they were when they came: the disk has lost them.
        Raises `ModelError` when all are, and the file is still another: the table is wrong.
        """
        coming = self._partial / (path + SUFFIX)
        expected = next(file for file in self.manifest.files if file.path == path)
        if sha256_of_file(coming) == expected.sha256:
            sync_file(coming)
            coming.replace(self._partial / path)
            known.record(self._partial / path, expected.sha256)
            return 0
        bad = 0
        with coming.open("rb") as content:
            for number in members(self._of[path]):
                content.seek(self.pieces[number].offset)
                block = content.read(self.pieces[number].size)
                if hashlib.sha256(block).hexdigest() != self.pieces[number].sha256:
                    bad |= 1 << number
        if not bad:
            raise ModelError(
                f"{self._directory.name}: the table of pieces {self.table.sha256} makes another"
                f" {path} than the manifest says; roll the model out anew"
            )
        with self._lock:
            self.have &= ~bad
            self._save_notes()
        return bad

    def finish(self, stamps: Path) -> None:
        """Every file has its name: write the manifest, and look at the whole once more.

        Raises `ModelError` for what is no model after all.
        """
        write_atomic(self._partial / MANIFEST_NAME, self.manifest.to_bytes())
        if problems := verify(self._partial, stamps=stamps):
            raise ModelError(listed(self._partial, problems))
        self._notes.unlink(missing_ok=True)

    def _noted(self) -> int:
        with suppress(OSError, ValueError, TypeError, KeyError, ModelError):
            notes = read_config(self._notes)
            if notes["pieces_sha256"] == self.table.sha256:
                return int(notes["have"], 16) & all_of(len(self.pieces))
        return 0

    def _save_notes(self) -> None:
        notes = {"pieces_sha256": self.table.sha256, "have": f"{self.have:x}"}
        new = self._notes.with_suffix(".new")
        new.write_text(json.dumps(notes))  # a power cut may undo it, which costs some pieces
        new.replace(self._notes)
