"""A batch's takes and sidecars into a directory: verified, resumed, never the same twice.

`farm.delivery` keeps the directory; here is what goes into it, page by page or as it lands.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Protocol

from farm.client.clip_filter import ALL_CLIPS, ClipFilter
from farm.delivery.download import Downloader
from farm.delivery.errors import FetchFailed
from farm.delivery.folder import Folder, Landed
from farm.domain.errors import FarmError
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types

_PARALLEL: Final = 4
_PAGE: Final = 100
_TICK_SECONDS: Final = 1.0
_OTHERS_SECONDS: Final = 600.0
"""How long a take is waited for that another process downloads."""
_DONE: Final = [types.CLIP_STATE_DONE]


class Pages(Protocol):
    """`Farm.clip_pages`."""

    def __call__(
        self,
        batch_id: str,
        *,
        states: Sequence[types.ClipState.ValueType],
        only: ClipFilter,
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
    *,
    only: ClipFilter = ALL_CLIPS,
    events: Iterable[pb.WatchResponse] = (),
) -> Fetched:
    """Fetch what is DONE by now, then what `events` of the batch say, to their end.

    Raises `FetchFailed` when the directory is another batch's.
    """
    return _Fetch(pages, batch, directory, on_progress, only).run(events)


class _Fetch:
    def __init__(
        self,
        pages: Pages,
        batch: types.Batch,
        directory: Path,
        on_progress: Callable[[Progress], None],
        only: ClipFilter,
    ) -> None:
        self._pages = pages
        self._batch_id = batch.batch_id
        self._folder = Folder(directory, batch)
        self._on_progress = on_progress
        self._only = only
        self._progress = Progress()
        self._lock = threading.Lock()
        self._downloader = Downloader(connections=_PARALLEL, on_bytes=self._count)
        self._result = Fetched(directory)
        self._pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="fetch")
        self._met: set[str] = set()
        """Ids of clips whose takes are there, or could not be had."""
        self._listed: set[str] = set()
        """Ids of clips that `Progress` counts."""

    def run(self, events: Iterable[pb.WatchResponse]) -> Fetched:
        """All of it; what is there is kept whatever happens."""
        ticker = threading.Thread(target=self._tick, name="fetch-manifest")
        ticker.start()
        try:
            self._fetch_all()
            if self._follow(events):
                self._fetch_all()
            self._see_the_rest()
            return self._result
        finally:
            self._downloader.stop.set()
            self._pool.shutdown(cancel_futures=True)
            ticker.join()
            self._downloader.close()
            self._folder.save(at_once=True)

    def _tick(self) -> None:
        """Write the manifest now and then, and keep our locks."""
        while not self._downloader.stop.wait(_TICK_SECONDS):
            with contextlib.suppress(FetchFailed, OSError):  # the last one tells
                self._folder.save(at_once=False)

    def _fetch_all(self) -> None:
        """Every take that is there by now."""
        for page in self._pages(
            self._batch_id, states=_DONE, only=self._only, with_urls=False, page_size=1000
        ):
            self._expect(page.clips)
        token = ""
        while True:
            page = self._page(self._only, token)
            self._fetch_page(page, self._only, token)
            token = page.next_page_token
            if not token:
                return

    def _follow(self, events: Iterable[pb.WatchResponse]) -> bool:
        """Fetch takes as they land; False where there is nothing to follow."""
        landed: dict[str, None] = {}
        said: dict[str, None] = {}
        followed = False
        for event in events:
            followed = True
            if event.to_state == types.CLIP_STATE_DONE:
                if event.from_state == types.CLIP_STATE_DONE:
                    said[event.clip_id] = None
                if self._is_wanted(event):
                    landed[event.clip_id] = None
            if event.HasField("batch") or len(landed) >= _PAGE or len(said) >= _PAGE:
                self._fetch_some(list(landed))
                self._see_anew(list(said))
                landed, said = {}, {}
        return followed

    def _is_wanted(self, event: pb.WatchResponse) -> bool:
        names = self._only.clips
        named = not names or event.clip_id in names or event.clip_name in names
        return named and event.clip_id not in self._met

    def _fetch_some(self, clip_ids: list[str]) -> None:
        for start in range(0, len(clip_ids), _PAGE):
            only = replace(self._only, clips=clip_ids[start : start + _PAGE])
            page = self._page(only, "")
            self._expect(page.clips)
            self._fetch_page(page, only, "")

    def _see_the_rest(self) -> None:
        """Takes of earlier fetches that this one does not ask for: what was said of them since."""
        self._see_anew([i for i in self._folder.takes() if i not in self._met])

    def _see_anew(self, clip_ids: list[str]) -> None:
        there = self._folder.takes() if clip_ids else {}
        for only in ALL_CLIPS.blocks([i for i in clip_ids if i in there]):
            for page in self._pages(
                self._batch_id, states=[], only=only, with_urls=False, page_size=1000
            ):
                self._folder.see_anew(page.clips)

    def _page(self, only: ClipFilter, token: str) -> pb.ListClipsResponse:
        return next(
            self._pages(
                self._batch_id,
                states=_DONE,
                only=only,
                with_urls=True,
                page_size=_PAGE,
                page_token=token,
            )
        )

    def _expect(self, clips: Iterable[types.Clip]) -> None:
        """Count what is to be there in the end."""
        with self._lock:
            for clip in clips:
                if clip.clip_id not in self._listed:
                    self._listed.add(clip.clip_id)
                    self._progress.files += 2
                    self._progress.bytes += _bytes_of(clip)

    def _fetch_page(self, page: pb.ListClipsResponse, only: ClipFilter, token: str) -> None:
        """Takes that another process downloads come last: meanwhile the others are fetched."""
        urls = _PageUrls(lambda: self._page(only, token), page)
        new = [clip for clip in page.clips if clip.clip_id not in self._met]
        self._met.update(clip.clip_id for clip in new)
        busy = self._land(new, urls, 0.0)
        still = self._land(busy, urls, _OTHERS_SECONDS)
        self._result.failed += [
            f"{clip.name}: another process has been at it for {_OTHERS_SECONDS:.0f} s"
            for clip in still
        ]

    def _land(
        self, clips: Sequence[types.Clip], urls: _PageUrls, wait_seconds: float
    ) -> list[types.Clip]:
        """Have these takes; returns those that another process is at."""
        self._expect(clips)
        waiting: list[tuple[types.Clip, Future[Landed | None]]] = [
            (clip, self._pool.submit(self._land_one, clip, urls, wait_seconds)) for clip in clips
        ]
        busy = []
        for clip, future in waiting:
            error = future.exception()
            if error is None:
                if future.result() is None:
                    busy.append(clip)
            elif isinstance(error, FarmError | OSError):
                self._result.failed.append(str(error))
            else:
                raise error
        return busy

    def _land_one(self, clip: types.Clip, urls: _PageUrls, wait_seconds: float) -> Landed | None:
        landed = self._folder.land(
            clip,
            lambda artifact: urls.of((clip.clip_id, artifact.sha256)),
            self._downloader,
            wait_seconds=wait_seconds,
        )
        if landed is not None:
            with self._lock:
                self._result.clips += 1
                self._result.downloaded += landed.downloaded
                self._result.unchanged += landed.unchanged
                self._progress.files_done += 2
                self._progress.bytes_done += landed.bytes_there
                self._on_progress(self._progress)
        return landed

    def _count(self, size: int) -> None:
        with self._lock:
            self._progress.bytes_done += size
            self._on_progress(self._progress)


def _bytes_of(clip: types.Clip) -> int:
    return clip.take.video.size_bytes + clip.take.sidecar.size_bytes


def _urls(page: pb.ListClipsResponse) -> dict[tuple[str, str], str]:
    """(Clip, SHA-256) → URL."""
    urls = {}
    for clip in page.clips:
        take = clip.take
        urls[clip.clip_id, take.video.sha256] = take.video_url
        urls[clip.clip_id, take.sidecar.sha256] = take.sidecar_url
    return urls
