"""Paths of images and videos in a submission: what they mean, and which files have to be sent.

A relative path lies beside the submitted file. A file that is on this machine is named by its
content in the farm's bucket; a path below a root by the root; any other is one of the nodes'.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from farm.client.fetch import Progress
from farm.client.local_files import HashCache, Hashes, Seen, hash_file, look_at
from farm.client.rowfile import Row
from farm.client.sending import LocalInput
from farm.client.submission import Over, Source
from farm.domain.columns import normal
from farm.domain.inputs import PATH_CHARS_MAX
from farm.domain.roots import Root, is_place, rooted
from farm.domain.spec import Problem
from farm.domain.values import BadValue, shown
from heliostat.v1 import batch_service_pb2 as pb

INPUT_FIELDS: Final = ("image", "video")

_NOT_RELATIVE: Final = re.compile(r"/|~|\\\\|[A-Za-z]:[\\/]|[A-Za-z0-9+.-]+://")
_HASH_THREADS: Final = 4

Cell = tuple[int, str]
"""Row and column; row 0 and the option, of a value for all rows."""


def _show_nothing(_what: str, _progress: Progress) -> None:
    return


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """What to do with files that clips start from."""

    upload: bool = True
    """False leaves every path as one of the nodes'."""
    roots: tuple[Root, ...] = ()
    """Shared storage as this machine knows it, before what the farm says."""
    cache: Path | None = None
    """Directory of the hashes of before; None is the user's cache."""
    on_progress: Callable[[str, Progress], None] = _show_nothing
    """Told what is done now, "hashing" or "sending", and how far it is; by one thread at a time."""


@dataclass(slots=True)
class BesideFile(Over):
    """A submission's source whose relative paths are made absolute; a `Source` itself."""

    directory: Path
    """Where the submitted file lies."""
    column_map: Mapping[str, str]
    relative: set[str] = field(default_factory=set)
    """Paths that were made absolute."""

    def rows(self) -> Iterator[Row]:
        """All rows in order."""
        is_input = InputColumns(self.column_map)
        for number, cells in self.source.rows():
            for column, text in cells.items():
                if is_input(column):
                    cells[column] = self.path(text)
            yield number, cells

    def path(self, text: str) -> str:
        """A path as it is meant."""
        path = absolute(text, self.directory)
        if path is not text:
            self.relative.add(path)
        return path


@dataclass(slots=True)
class Replaced(Over):
    """A source with other texts in its cells of images and videos; a `Source` itself."""

    column_map: Mapping[str, str]
    texts: Mapping[str, str]
    """As it is → as it is to be."""

    def rows(self) -> Iterator[Row]:
        """All rows in order."""
        is_input = InputColumns(self.column_map)
        for number, cells in self.source.rows():
            for column, text in cells.items():
                if is_input(column):
                    cells[column] = self.texts.get(text, text)
            yield number, cells


class InputColumns:
    """Tells which columns are images or videos."""

    def __init__(self, column_map: Mapping[str, str]) -> None:
        self._mapped = {normal(column): normal(name) for column, name in column_map.items()}
        self._known: dict[str, bool] = {}

    def __call__(self, column: str) -> bool:
        """Whether a column is one."""
        known = self._known.get(column)
        if known is None:
            key = normal(column)
            known = self._known[column] = self._mapped.get(key, key) in INPUT_FIELDS
        return known


def absolute(text: str, directory: Path) -> str:
    """A relative path as an absolute one; anything else as it is, for the farm to judge."""
    path = text.strip()
    if not path or _NOT_RELATIVE.match(path) or is_place(path):
        return text
    return os.path.normpath(directory.absolute() / path)


def absolute_settings(settings: Mapping[str, str], directory: Path) -> dict[str, str]:
    """The same for values that all rows share."""
    return {
        name: absolute(text, directory) if normal(name) in INPUT_FIELDS else text
        for name, text in settings.items()
    }


def replaced(settings: Mapping[str, str], texts: Mapping[str, str]) -> dict[str, str]:
    """Values that all rows share, with other texts for images and videos."""
    return {
        name: texts.get(text, text) if normal(name) in INPUT_FIELDS else text
        for name, text in settings.items()
    }


def input_cells(
    source: Source, column_map: Mapping[str, str], settings: Mapping[str, str]
) -> dict[str, list[Cell]]:
    """Where each text of an image or video stands. Reads the source through if it may have some."""
    found: dict[str, list[Cell]] = {}
    for name, text in settings.items():
        if normal(name) in INPUT_FIELDS:
            found.setdefault(text, []).append((0, f"--set {name}={text}"))
    is_input = InputColumns(column_map)
    if source.columns and not any(map(is_input, source.columns)):
        return found
    for number, cells in source.rows():
        for column, text in cells.items():
            if is_input(column) and text.strip():
                found.setdefault(text, []).append((number, column))
    return found


@dataclass(slots=True)
class Sorted:
    """What the texts of a submission's images and videos are."""

    texts: dict[str, str] = field(default_factory=dict)
    """Text → what the farm is told instead."""
    files: dict[str, LocalInput] = field(default_factory=dict)
    """Text → the file of this machine that it names."""
    bad: dict[str, BadValue] = field(default_factory=dict)

    def problems(self, cells: Mapping[str, Sequence[Cell]]) -> list[Problem]:
        """What is wrong, at every row and column."""
        return [
            Problem(row, column, bad.what, bad.remedy)
            for text, bad in self.bad.items()
            for row, column in cells[text]
        ]


def sort_texts(
    texts: Sequence[str],
    relative: set[str],
    takes: pb.PrepareInputsResponse,
    options: InputOptions,
) -> Sorted:
    """See what each text names, and hash the files of this machine.

    `relative` are texts that stood relative in the file; `takes` is what the farm takes.
    """
    own = {root.name for root in options.roots}
    roots = (*options.roots, *(_root(root) for root in takes.roots if root.name not in own))
    found, seen = Sorted(), dict[str, Seen]()
    for text in texts:
        if place := rooted(text.strip(), roots):
            found.texts[text] = place
            continue
        path = _path_here(text.strip())
        try:
            if path is not None:
                seen[text] = look_at(path, takes.bytes_max)
            elif text in relative:
                what = f"there is no file {shown(os.path.basename(text))} here"
                raise BadValue(
                    what, "check its name and folder, or use --no-upload for the nodes' own paths"
                )
        except BadValue as bad:
            found.bad[text] = bad
    hashes = _hash_all(seen, HashCache(options.cache, takes.part_bytes), takes, options)
    for text, hashed in hashes.items():
        if isinstance(hashed, BadValue):
            found.bad[text] = hashed
        else:
            found.files[text] = LocalInput(seen[text], hashed)
    # The farm is to say what else is wrong with those rows, not this once more.
    found.texts.update(dict.fromkeys(found.bad, f"s3://{takes.bucket}/bad"))
    return found


def _hash_all(
    seen: Mapping[str, Seen],
    cache: HashCache,
    takes: pb.PrepareInputsResponse,
    options: InputOptions,
) -> dict[str, Hashes | BadValue]:
    """What each file holds, in order; read in parallel where it was not before."""
    files = dict.fromkeys(seen.values())
    known = {file: cache.get(file) for file in files}
    new = [file for file in files if known[file] is None]
    progress = Progress(files=len(new), bytes=sum(file.size_bytes for file in new))
    lock = threading.Lock()

    def read(file: Seen) -> Hashes | BadValue:
        try:
            hashes = hash_file(file, takes.part_bytes, add)
        except BadValue as bad:
            return bad
        with lock:
            progress.files_done += 1
            cache.put(file, hashes)
        return hashes

    def add(size: int) -> None:
        with lock:
            progress.bytes_done += size
            options.on_progress("hashing", progress)

    with ThreadPoolExecutor(_HASH_THREADS, thread_name_prefix="hash") as pool:
        reading: dict[Seen, Future[Hashes | BadValue]] = {
            file: pool.submit(read, file) for file in new
        }
        try:
            hashed = {file: known[file] or reading[file].result() for file in files}
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    cache.save()
    return {text: hashed[file] for text, file in seen.items()}


def _path_here(text: str) -> Path | None:
    """What there is on this machine under a path; None where nothing is, or it is no path."""
    if len(text) > PATH_CHARS_MAX or "://" in text or is_place(text):
        return None
    try:
        path = Path(text).expanduser()
        return path if path.is_absolute() and path.exists() else None
    except (OSError, RuntimeError, ValueError):  # it is for the farm to say what is wrong
        return None


def _root(root: pb.Root) -> Root:
    return Root(name=root.name, linux=root.linux, windows=root.windows, macos=root.macos)
