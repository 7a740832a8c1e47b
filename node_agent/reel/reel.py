"""A reel: the folder beside a film that holds its clip's chunks, so that the clip can go on.

    fox.mp4                      the film
    fox.json                     its sidecar
    fox.reel/reel.json           the record: what was asked for, and every chunk with its files
    fox.reel/init.mp4            init segment
    fox.reel/chunk-00000.m4s     segments
    fox.reel/chunk-00000.safetensors  negatives
    fox.reel/embeddings.safetensors   the prompts, encoded
    fox.reel/child.log           what the render child had to say

A chunk counts once it is in the record; files that are not in it are made again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from node_agent.files import atomic_path, sha256_of_file, write_atomic
from node_agent.render.helios.recipe import as_made
from node_agent.render.messages import ChunkDone, FileRecord
from node_agent.render.renderer import Fork, PromptMark, RenderSpec

FORMAT_VERSION = 1
"""Raised when a reader of the version before would misread."""

RECORD_NAME = "reel.json"
LOG_NAME = "child.log"
_LOCK_NAME = ".lock"


class ReelError(Exception):
    """A reel cannot be used, or a clip not be rendered; the message names it and the cause."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReelFile:
    """A file in the reel's folder."""

    name: str
    size: int
    """Bytes."""
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReelChunk:
    """A chunk that is rendered."""

    frames: int = 0
    """Frames of its segment; 0 where it has none: its frames come back from the negative."""
    segment: ReelFile | None = None
    negative: ReelFile | None = None
    """None for a renderer without latents."""
    seconds: float
    """Wall time of its render, decode included."""
    stack_id: str
    lanes: int = 1
    joules: float | None = None
    """GPU board only; None where the card cannot measure it."""
    steered: tuple[PromptMark, ...] = ()
    profile: str = ""
    """How the card ran the model for it; "" where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """`reel.json`: everything that decides the clip, and what there is of it."""

    format_version: int = FORMAT_VERSION
    spec: RenderSpec
    fps: int
    renderer: str = "helios"
    model: str = ""
    """Directory of the model."""
    model_digest: str = ""
    recipe: dict[str, Any] = field(default_factory=dict)
    """The quality, spelled out (`helios.recipe.Recipe.record`)."""
    inputs: dict[str, str] = field(default_factory=dict)
    """SHA-256 of the `image` or `video` that the clip starts from."""
    device: str = "cpu"
    threads: int = 1
    """CPU threads for arithmetic, which decide sums' last bits."""
    fork: Fork | None = None
    """Set in a branch with a seed of its own."""
    init: ReelFile | None = None
    embeddings: ReelFile | None = None
    chunks: tuple[ReelChunk, ...] = ()
    """Those rendered so far, from chunk 0 on without a gap."""

    @property
    def files(self) -> tuple[ReelFile, ...]:
        """Every file that it speaks of."""
        parts = [part for chunk in self.chunks for part in (chunk.segment, chunk.negative)]
        return tuple(each for each in (self.init, self.embeddings, *parts) if each is not None)


_RECORD: TypeAdapter[Record] = TypeAdapter(Record)


def reel_of(film: Path) -> Path:
    """The folder of a film's reel: `fox.mp4` has `fox.reel`."""
    return film.with_suffix(".reel")


class Reel:
    """A folder and its record, written anew with each chunk."""

    def __init__(self, folder: Path, record: Record) -> None:
        self.folder = folder
        self.record = record

    @classmethod
    def open(cls, folder: Path) -> Reel:
        """Read a reel. Raises `ReelError` when there is none, or its record is broken."""
        path = folder / RECORD_NAME
        try:
            record = _RECORD.validate_json(path.read_bytes())
        except FileNotFoundError:
            raise ReelError(f"{folder}: no reel there; it is kept beside the film") from None
        except ValidationError as error:
            raise ReelError(f"{path}: not a reel's record ({error.errors()[0]['msg']})") from None
        if record.format_version != FORMAT_VERSION:
            raise ReelError(f"{path}: format {record.format_version}, this reads {FORMAT_VERSION}")
        return cls(folder, record)

    @classmethod
    def create(cls, folder: Path, record: Record, source: Path | None = None) -> Reel:
        """Begin a reel; the files of its record are taken from the reel in `source`.

        They are hard links where the file system has them, copies elsewhere: no file of a reel is
        ever changed in place. The folder appears whole or not at all; one that is there must be
        empty. Raises OSError, `ReelError` for a file that is missing or damaged.
        """
        folder.parent.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
        try:
            if source is not None:
                Reel(source, record).check_files()
                for file in record.files:
                    _link(source / file.name, making / file.name)
            cls(making, record)._write()
            making.chmod(0o755)
            making.rename(folder)
        except BaseException:
            shutil.rmtree(making, ignore_errors=True)
            raise
        return cls(folder, record)

    def path(self, file: ReelFile) -> Path:
        """Where a file lies."""
        return self.folder / file.name

    def check_files(self) -> None:
        """Hold every file against its record. Raises `ReelError` naming the first that differs."""
        for file in self.record.files:
            path = self.path(file)
            if not path.is_file():
                raise ReelError(f"{path} is missing; bring it back, or start over with --fresh")
            if path.stat().st_size != file.size or sha256_of_file(path) != file.sha256:
                raise ReelError(
                    f"{path} is damaged: its SHA-256 is not the one in {RECORD_NAME};"
                    " bring it back from a copy, or start over with --fresh"
                )

    def add(self, done: ChunkDone, stack_id: str) -> None:
        """Record a chunk: a new one, or a new segment of one whose frames came back."""
        chunks, record = list(self.record.chunks), self.record
        segment = _entry(done.segment)
        if done.chunk < len(chunks):
            old = chunks[done.chunk]
            chunks[done.chunk] = replace(old, frames=done.frames, segment=segment)
        else:
            chunks.append(
                ReelChunk(
                    frames=done.frames,
                    segment=segment,
                    negative=_entry(done.negative),
                    seconds=done.render_seconds,
                    stack_id=stack_id,
                    lanes=done.lanes,
                    joules=done.energy_joules,
                    steered=done.steered,
                    profile=done.profile,
                )
            )
        recipe, on_gpu = record.recipe, record.device != "cpu"
        self.record = replace(
            record,
            chunks=tuple(chunks),
            recipe=recipe and as_made(recipe, done.profile, done.vae, on_gpu=on_gpu),
            init=_entry(done.init) or record.init,
            embeddings=_entry(done.embeddings) or record.embeddings,
        )
        self._write()

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nobody else renders into it meanwhile. Raises `ReelError` when somebody does."""
        with (self.folder / _LOCK_NAME).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ReelError(f"{self.folder}: another render is at work on it") from None
            yield

    def _write(self) -> None:
        content = _RECORD.dump_json(self.record, indent=2) + b"\n"
        write_atomic(self.folder / RECORD_NAME, content)


def _entry(file: FileRecord | None) -> ReelFile | None:
    if file is None:
        return None
    return ReelFile(name=Path(file.path).name, size=file.size, sha256=file.sha256)


def _link(source: Path, destination: Path) -> None:
    try:
        os.link(source, destination)
    except OSError:  # another file system, or one without links
        with atomic_path(destination) as temporary:
            shutil.copyfile(source, temporary)
