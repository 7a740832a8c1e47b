"""A clip's negatives beside its take, as the reel that `farm-node` extends and decodes again, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

import json
import os
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from farm.client.aio.base import AsyncCalls
from farm.client.download import Downloader, Wanted, sha256_of
from farm.client.errors import FetchFailed
from farm.client.reels import (
    _PAGE,
    _PARALLEL,
    _RECORD,
    _file,
    _files,
    _record,
)
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types


class AsyncReels(AsyncCalls):
    """Recorded chunks, and whole reels of them."""

    async def chunks(self, clip_id: str) -> AsyncIterator[pb.ListChunksResponse]:
        """Pages of a clip's recorded chunks, with presigned URLs."""
        request = pb.ListChunksRequest(clip_id=clip_id, page_size=_PAGE)
        while True:
            answer = await self._connection.call(self._batches.ListChunks, request)
            yield answer
            if not answer.next_page_token:
                return
            request.page_token = answer.next_page_token

    async def fetch_reel(
        self, clip_id: str, film: Path, *, on_bytes: Callable[[int], None] = lambda _bytes: None
    ) -> Path:
        """Download the negatives and segments of a take that was fetched to `film`; its reel.

        What is there is not fetched again. Raises `FetchFailed`, also where retention has let
        the chunks go.
        """
        clip, chunks = await self._stored(clip_id)
        if not chunks and clip.origin.kind == "reuse":
            _, chunks = await self._stored(clip.origin.clip_id)
        if not any((_file(chunk, types.ARTIFACT_KIND_NEGATIVE) for chunk in chunks)):
            raise FetchFailed(
                f"{film.name}: the farm has no negatives of it: they are kept for `keep_chunks_days` after a clip has ended, and test cards have none"
            )
        folder = film.with_suffix(".reel")
        folder.mkdir(exist_ok=True)
        await self._download(clip_id, folder, chunks, on_bytes)
        sidecar = json.loads(film.with_suffix(".json").read_text(encoding="utf-8"))
        part = folder / f"{_RECORD}.part"
        text = json.dumps(_record(clip, chunks, sidecar), ensure_ascii=False, indent=2)
        part.write_text(text + "\n", encoding="utf-8")
        os.replace(part, folder / _RECORD)
        return folder

    async def _stored(self, clip_id: str) -> tuple[types.Clip, list[pb.StoredChunk]]:
        pages = list(self.chunks(clip_id))
        return await self._connection.in_thread(lambda farm: farm._stored(clip_id))

    async def _download(
        self,
        clip_id: str,
        folder: Path,
        chunks: Sequence[pb.StoredChunk],
        on_bytes: Callable[[int], None],
    ) -> None:
        urls = {path: file.url for path, file in _files(folder, chunks)}

        def url_of(path: Path) -> Callable[[bool], str]:

            def url(fresh: bool) -> str:
                if fresh:
                    _, again = await self._stored(clip_id)
                    urls.update({path: file.url for path, file in _files(folder, again)})
                return urls[path]

            return url

        downloader = Downloader(connections=_PARALLEL, on_bytes=on_bytes)

        def fetch(path: Path, artifact: types.Artifact) -> None:
            if not (path.is_file() and sha256_of(path) == artifact.sha256):
                wanted = Wanted(path, artifact.sha256, artifact.size_bytes, url_of(path))
                downloader.fetch(wanted)

        pool = ThreadPoolExecutor(_PARALLEL, thread_name_prefix="reel")
        try:
            waiting = [
                pool.submit(fetch, path, file.artifact) for path, file in _files(folder, chunks)
            ]
            for each in waiting:
                each.result()
        finally:
            downloader.stop.set()
            pool.shutdown(cancel_futures=True)
            downloader.close()
