"""One folder of a batch's takes: where each belongs, and putting it there.

A file is downloaded into `.heliostat` in the folder, verified and renamed into place. Whoever has
a take's lock downloads it; so several processes on several machines share a folder and its work.
"""

from __future__ import annotations

import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from farm.delivery import manifest
from farm.delivery.download import Downloader, Stopped, Wanted, sha256_of
from farm.delivery.errors import FetchFailed
from farm.delivery.locks import Locks
from farm.delivery.manifest import Taken, taken
from farm.domain.names import folded, safe_stem
from heliostat.v1 import types_pb2 as types

WORK_NAME: Final = ".heliostat"
"""In the folder: downloads that are not whole yet, and locks."""

_SAVE_SECONDS: Final = 10.0
_SAVE_SHARE: Final = 0.05
"""Of the time, at most, that goes into writing the manifest."""
_MANIFEST_SECONDS: Final = 120.0

Urls = Callable[[types.Artifact], Callable[[bool], str]]
"""An artifact's `Wanted.url`."""


@dataclass(frozen=True, slots=True)
class Landed:
    """What it took to have a take."""

    downloaded: int
    """Files."""
    unchanged: int
    bytes_there: int
    """Of the unchanged ones."""


class Folder:
    """Safe to use from several threads and processes."""

    def __init__(self, directory: Path, batch: types.Batch) -> None:
        """Make it where it is not there. Raises `FetchFailed` when it is another batch's."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self._batch = batch
        self._work = directory / WORK_NAME
        self._locks = Locks(self._work)
        self._guard, self._saving = threading.Lock(), threading.Lock()
        self._new: dict[str, Taken] = {}
        """Not written down yet."""
        self._takes = manifest.read(directory, batch.batch_id)
        self._names: dict[str, str] = {}
        """Folded stem → id of the clip whose files have it."""
        for entry in self._takes.values():
            self._names[folded(entry.file.removesuffix(".mp4"))] = entry.clip_id
        self._next_save = time.monotonic() + _SAVE_SECONDS

    def takes(self) -> dict[str, Taken]:
        """All that are known to be there, by clip id."""
        with self._guard:
            return {**self._takes, **self._new}

    def land(
        self, clip: types.Clip, urls: Urls, downloader: Downloader, *, wait_seconds: float = 0.0
    ) -> Landed | None:
        """Have a finished clip's files, downloading what is not there.

        None: another process is at it. Raises `FetchFailed`, OSError, and `Stopped`.
        """
        stem = self._stem(clip)
        if (had := self._as_noted(clip)) is not None:
            return had
        key = hashlib.sha256(folded(stem).encode()).hexdigest()[:24]
        with self._locks.held(key, wait_seconds=wait_seconds) as ours:
            if not ours:
                return None
            entry = taken(clip, stem)
            known = self._known(clip.clip_id)
            times, downloaded, there = {}, 0, 0
            # The sidecar first: whoever waits for the take then finds it.
            for ext, artifact in (("json", clip.take.sidecar), ("mp4", clip.take.video)):
                if downloader.stop.is_set():
                    raise Stopped
                path = self._path(f"{stem}.{ext}")
                if _is_there(path, artifact, known):
                    there += artifact.size_bytes
                else:
                    part = self._work / f"{key}.{ext}.part"
                    self._download(key, path, part, artifact, urls, downloader)
                    downloaded += 1
                times[ext] = path.stat().st_mtime_ns
            self._note(
                replace(
                    entry,
                    mtime_ns=times["mp4"],
                    sidecar_mtime_ns=times["json"],
                    model_digest=_model_of(self._path(entry.sidecar)),
                )
            )
        return Landed(downloaded, 2 - downloaded, there)

    def see_anew(self, clips: Iterable[types.Clip]) -> None:
        """Note what was said since of takes that are there."""
        for clip in clips:
            entry = self._known(clip.clip_id)
            if entry is not None and (after := entry.seen_anew(clip)) != entry:
                self._note(after)

    def save(self, *, at_once: bool) -> None:
        """Write what is new into the manifest, to what others wrote there; if at all due.

        `at_once`, at the end, leaves no lock of a dead process either. Raises `FetchFailed` where
        another keeps hold of it.
        """
        self._locks.touch()
        if not at_once and time.monotonic() < self._next_save:
            return
        with self._saving:
            self._save()
        if at_once:
            self._locks.tidy()

    def _save(self) -> None:
        began = time.monotonic()
        with self._guard:
            new = dict(self._new)
        if new or not (self.directory / manifest.CSV_NAME).exists():
            with self._locks.held("manifest", wait_seconds=_MANIFEST_SECONDS) as ours:
                if not ours:
                    raise FetchFailed(
                        f"{self.directory}: another process has had the manifest in hand for "
                        f"{_MANIFEST_SECONDS:.0f} s: run the same fetch again"
                    )
                after = {**manifest.read(self.directory, self._batch.batch_id), **new}
                manifest.write(self.directory, self._batch, after.values())
            with self._guard:
                self._takes = after
                self._new = {i: entry for i, entry in self._new.items() if new.get(i) != entry}
        took = time.monotonic() - began
        self._next_save = time.monotonic() + max(_SAVE_SECONDS, took / _SAVE_SHARE)

    def _known(self, clip_id: str) -> Taken | None:
        with self._guard:
            return self._new.get(clip_id) or self._takes.get(clip_id)

    def _as_noted(self, clip: types.Clip) -> Landed | None:
        """A take whose files are as they were when they were verified."""
        entry, take = self._known(clip.clip_id), clip.take
        if entry is None or (entry.sha256, entry.sidecar_sha256) != (
            take.video.sha256,
            take.sidecar.sha256,
        ):
            return None
        for name, size, at in (
            (entry.sidecar, entry.sidecar_size_bytes, entry.sidecar_mtime_ns),
            (entry.file, entry.size_bytes, entry.mtime_ns),
        ):
            try:
                found = self._path(name).stat()
            except FileNotFoundError:
                return None
            if (found.st_size, found.st_mtime_ns) != (size, at):
                return None
        self.see_anew([clip])
        return Landed(0, 2, entry.size_bytes + entry.sidecar_size_bytes)

    def _note(self, entry: Taken) -> None:
        with self._guard:
            self._new[entry.clip_id] = entry

    def _stem(self, clip: types.Clip) -> str:
        """What a clip's files are called here: two clips are never one file.

        Farms give each clip a name of its own; only clips from before that may share one.
        """
        wanted = clip.file_name or safe_stem(clip.name, clip.version)
        with self._guard:
            known = self._new.get(clip.clip_id) or self._takes.get(clip.clip_id)
            if known is not None:
                return known.file.removesuffix(".mp4")
            if self._names.setdefault(folded(wanted), clip.clip_id) == clip.clip_id:
                return wanted
            other = f"{wanted}~{clip.row}"
            self._names.setdefault(folded(other), clip.clip_id)
            return other

    def _path(self, name: str) -> Path:
        """Where a file belongs, its folders made. Raises `FetchFailed` for a place outside."""
        parts = name.split("/")
        if any(part in ("", ".", "..") or "\\" in part or ":" in part for part in parts):
            raise FetchFailed(f"{name}: this is no name of a file in a folder")
        path = self.directory.joinpath(*parts)
        if parts[0] == WORK_NAME or not path.parent.resolve().is_relative_to(
            self.directory.resolve()
        ):
            raise FetchFailed(
                f"{name}: a link leads out of {self.directory}; remove it and fetch again"
            )
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _download(
        self,
        key: str,
        path: Path,
        part: Path,
        artifact: types.Artifact,
        urls: Urls,
        downloader: Downloader,
    ) -> None:
        wanted = Wanted(
            str(path.relative_to(self.directory)),
            part,
            artifact.sha256,
            artifact.size_bytes,
            urls(artifact),
            self._locks.touch,
        )
        downloader.fetch(wanted)
        if not self._locks.still_ours(key):
            raise FetchFailed(
                f"{path.name}: another process went on with it, since this one was too slow; "
                "run the same fetch again"
            )
        os.replace(part, path)


def _is_there(path: Path, artifact: types.Artifact, known: Taken | None) -> bool:
    """The file is what it should be. Raises `FetchFailed` when it is somebody else's."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return False
    noted = set()
    if known is not None:
        noted = {(known.sha256, known.mtime_ns), (known.sidecar_sha256, known.sidecar_mtime_ns)}
    if found.st_size == artifact.size_bytes and (
        (artifact.sha256, found.st_mtime_ns) in noted or sha256_of(path) == artifact.sha256
    ):
        return True
    if known is None:
        raise FetchFailed(
            f"{path.name}: another file of this name is there already; move it away and fetch again"
        )
    return False


def _model_of(sidecar: Path) -> str:
    """The digest of the model that made a take, by its sidecar; empty where it does not say."""
    try:
        said = json.loads(sidecar.read_text(encoding="utf-8")).get("model_digest", "")
    except (OSError, ValueError, AttributeError):
        return ""
    return said if isinstance(said, str) else ""
