"""The sidecars of a batch's takes, read without keeping them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from farm.client.clip_filter import ALL_CLIPS
from farm.delivery.download import Downloader, Wanted
from farm.delivery.errors import FetchFailed
from heliostat.v1 import types_pb2 as types

if TYPE_CHECKING:
    from farm.client.farm import Farm

_PARALLEL: Final = 8
_PAGE: Final = 100


def sidecars(farm: Farm, batch_id: str, clip_ids: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Those of these clips that can be had, verified; each take's as a dictionary.

    What retention or an outage keeps back is left out.
    """
    downloader = Downloader(connections=_PARALLEL, pause_seconds=0.2)
    with (
        tempfile.TemporaryDirectory(prefix="farm-") as folder,
        ThreadPoolExecutor(_PARALLEL) as pool,
    ):
        try:
            for start in range(0, len(clip_ids), _PAGE):
                only = next(ALL_CLIPS.blocks(clip_ids[start : start + _PAGE]))
                for page in farm.clip_pages(batch_id, only=only, with_urls=True, page_size=_PAGE):
                    done = [clip for clip in page.clips if clip.take.sidecar_url]
                    found = pool.map(lambda clip: _read(downloader, Path(folder), clip), done)
                    yield from filter(None, found)
        finally:
            downloader.stop.set()
            downloader.close()


def _read(downloader: Downloader, folder: Path, clip: types.Clip) -> dict[str, Any] | None:
    stored, path = clip.take.sidecar, folder / f"{clip.clip_id}.json"
    wanted = Wanted(
        name=f"the sidecar of {clip.name}",
        path=path,
        sha256=stored.sha256,
        size_bytes=stored.size_bytes,
        url=lambda _fresh: clip.take.sidecar_url,
    )
    try:
        downloader.fetch(wanted)
        facts = json.loads(path.read_bytes())
    except (FetchFailed, OSError, ValueError):
        return None
    finally:
        path.unlink(missing_ok=True)
    return {**facts, "clip_id": clip.clip_id} if isinstance(facts, dict) else None
