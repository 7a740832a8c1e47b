"""A batch's takes and sidecars into a directory: verified, resumed, never the same twice.

`manifest.json` in the directory says which file is which clip's, and what it must hold. A file
that is unchanged since it was verified is passed over; a changed one is hashed again, and
fetched again when it no longer is the take.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from farm.client.download import Downloader, Stopped, Wanted, sha256_of
from farm.client.errors import FetchFailed
from farm.domain.errors import FarmError
from farm.domain.names import safe_file_name, unique_file_names
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types

MANIFEST_NAME: Final = "manifest.json"
_PARALLEL: Final = 4
_PAGE: Final = 100
_SAVE_SECONDS: Final = 10.0


class Pages(Protocol):
    """`Farm.clip_pages`."""

    def __call__(
        self,
        batch_id: str,
        *,
        states: list[types.ClipState.ValueType],
        with_urls: bool,
        page_size: int,
        page_token: str = "",
    ) -> Iterator[pb.ListClipsResponse]:
        """Pages of clips."""
        ...


@dataclass(slots=True)
class Progress:
    """How far a fetch is; the same object is passed on each time."""

    files: int = 0
    """To be there in the end."""
    files_done: int = 0
    """Those that were there already counted in."""
    bytes: int = 0
    bytes_done: int = 0


@dataclass(slots=True)
class Fetched:
    """What a fetch did."""

    directory: Path
    clips: int = 0
    """Takes that are there now, with their sidecars."""
    downloaded: int = 0
    """Files."""
    unchanged: int = 0
    """Files that were there already."""
    failed: list[str] = field(default_factory=list)
    """Files that could not be had, each with its reason."""


@dataclass(frozen=True, slots=True)
class _Entry:
    clip_id: str
    clip: str
    version: int
    sha256: str
    size_bytes: int
    mtime_ns: int
    """When it was verified."""


class _Manifest:
    """`manifest.json`; written at times and at the end."""

    def __init__(self, directory: Path, batch: types.Batch) -> None:
        self._path = directory / MANIFEST_NAME
        self._batch = batch
        self._saved = time.monotonic()
        self.files: dict[str, _Entry] = {}
        try:
            known = json.loads(self._path.read_text(encoding="utf-8"))
            owner = known["batch_id"]
            self.files = {name: _Entry(**entry) for name, entry in known["files"].items()}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise FetchFailed(
                f"{self._path} is not a list of fetched takes: choose another directory"
            ) from None
        if owner != batch.batch_id:
            raise FetchFailed(
                f"{directory} holds the takes of batch {owner}: choose another directory"
            )

    def save(self, *, at_once: bool) -> None:
        """Write it down, if at all due."""
        if not at_once and time.monotonic() - self._saved < _SAVE_SECONDS:
            return
        known: dict[str, Any] = {
            "batch_id": self._batch.batch_id,
            "batch_name": self._batch.name,
            "files": {name: asdict(self.files[name]) for name in sorted(self.files)},
        }
        part = self._path.with_name(MANIFEST_NAME + ".part")
        part.write_text(json.dumps(known, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
        os.replace(part, self._path)
        self._saved = time.monotonic()


class _PageUrls:
    """The URLs of one page, asked for again when they have expired."""

    def __init__(self, ask: Callable[[], pb.ListClipsResponse], page: pb.ListClipsResponse) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._urls = _urls(page)
        self._generation = 0

    def of(self, key: tuple[str, str]) -> Callable[[bool], str]:
        """For `Wanted.url`; remembers which URLs it gave out, so that many ask again only once."""
        given = -1

        def url(fresh: bool) -> str:
            nonlocal given
            with self._lock:
                if fresh and given == self._generation:
                    self._urls |= _urls(self._ask())
                    self._generation += 1
                given = self._generation
                return self._urls[key]

        return url


def fetch(
    pages: Pages,
    batch: types.Batch,
    directory: Path,
    on_progress: Callable[[Progress], None],
) -> Fetched:
    """Fetch what is DONE by now. Raises `FetchFailed` when the directory is another batch's."""
    directory.mkdir(parents=True, exist_ok=True)
    manifest = _Manifest(directory, batch)
    return _Fetch(pages, batch, directory, manifest, on_progress).run()


class _Fetch:
    def __init__(
        self,
        pages: Pages,
        batch: types.Batch,
        directory: Path,
        manifest: _Manifest,
        on_progress: Callable[[Progress], None],
    ) -> None:
        self._pages = pages
        self._batch = batch
        self._directory = directory
        self._manifest = manifest
        self._on_progress = on_progress
        self._progress = Progress()
        self._lock = threading.Lock()
        self._downloader = Downloader(connections=_PARALLEL, on_bytes=self._count)
        self._result = Fetched(directory)

    def run(self) -> Fetched:
        """All pages, each with several downloads at once."""
        names = self._file_names()
        pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch")
        try:
            token = ""
            while True:
                page = self._page(token)
                self._fetch_page(pool, names, token, page)
                self._manifest.save(at_once=False)
                token = page.next_page_token
                if not token:
                    return self._result
        finally:
            self._downloader.stop.set()
            pool.shutdown(cancel_futures=True)
            self._downloader.close()
            self._manifest.save(at_once=True)

    def _file_names(self) -> dict[str, str]:
        """Clip id → name without ending; the same whichever clips are done by now."""
        ids: list[str] = []
        names: list[str] = []
        for page in self._pages(self._batch.batch_id, states=[], with_urls=False, page_size=1000):
            for clip in page.clips:
                ids.append(clip.clip_id)
                names.append(safe_file_name(clip.name, clip.version, "mp4"))
                if clip.state == types.CLIP_STATE_DONE:
                    self._progress.files += 2
                    take = clip.take
                    self._progress.bytes += take.video.size_bytes + take.sidecar.size_bytes
        unique = unique_file_names(names)
        return {i: name.removesuffix(".mp4") for i, name in zip(ids, unique, strict=True)}

    def _page(self, token: str) -> pb.ListClipsResponse:
        return next(
            self._pages(
                self._batch.batch_id,
                states=[types.CLIP_STATE_DONE],
                with_urls=True,
                page_size=_PAGE,
                page_token=token,
            )
        )

    def _fetch_page(
        self,
        pool: ThreadPoolExecutor,
        names: dict[str, str],
        token: str,
        page: pb.ListClipsResponse,
    ) -> None:
        urls = _PageUrls(lambda: self._page(token), page)
        waiting: list[tuple[Future[None], Future[None]]] = []
        for clip in page.clips:
            stem = names.get(clip.clip_id)
            if stem is None:
                continue
            pair = [
                pool.submit(self._fetch_file, clip, f"{stem}.{ext}", artifact, urls)
                for ext, artifact in (("mp4", clip.take.video), ("json", clip.take.sidecar))
            ]
            waiting.append((pair[0], pair[1]))
        for both in waiting:
            errors = [error for future in both if (error := future.exception()) is not None]
            for error in errors:
                if not isinstance(error, FarmError | OSError):
                    raise error
                self._result.failed.append(str(error))
            self._result.clips += not errors

    def _fetch_file(
        self, clip: types.Clip, name: str, artifact: types.Artifact, urls: _PageUrls
    ) -> None:
        if self._downloader.stop.is_set():
            raise Stopped
        path = self._directory / name
        is_there = self._is_there(path, name, artifact)
        if not is_there:
            url = urls.of((clip.clip_id, artifact.sha256))
            self._downloader.fetch(Wanted(path, artifact.sha256, artifact.size_bytes, url))
        entry = _Entry(
            clip.clip_id,
            clip.name,
            clip.version,
            artifact.sha256,
            artifact.size_bytes,
            path.stat().st_mtime_ns,
        )
        with self._lock:
            self._manifest.files[name] = entry
            self._result.downloaded += not is_there
            self._result.unchanged += is_there
            self._progress.files_done += 1
            if is_there:
                self._progress.bytes_done += artifact.size_bytes
            self._on_progress(self._progress)

    def _is_there(self, path: Path, name: str, artifact: types.Artifact) -> bool:
        """The file is what it should be. Raises `FetchFailed` when it is somebody else's."""
        try:
            found = path.stat()
        except FileNotFoundError:
            return False
        entry = self._manifest.files.get(name)
        if (
            entry is not None
            and entry.sha256 == artifact.sha256
            and (entry.size_bytes, entry.mtime_ns) == (found.st_size, found.st_mtime_ns)
        ):
            return True
        if found.st_size == artifact.size_bytes and sha256_of(path) == artifact.sha256:
            return True
        if entry is None:
            raise FetchFailed(
                f"{name}: another file of this name is there already; move it away and fetch again"
            )
        return False

    def _count(self, size: int) -> None:
        with self._lock:
            self._progress.bytes_done += size
            self._on_progress(self._progress)


def _urls(page: pb.ListClipsResponse) -> dict[tuple[str, str], str]:
    """(Clip, SHA-256) → URL."""
    urls = {}
    for clip in page.clips:
        take = clip.take
        urls[clip.clip_id, take.video.sha256] = take.video_url
        urls[clip.clip_id, take.sidecar.sha256] = take.sidecar_url
    return urls
