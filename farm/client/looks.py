"""First chunks of held clips as files that any player opens: initialisation and segment, joined."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import urllib3

from farm.client.errors import FetchFailed
from farm.domain.names import safe_file_name
from heliostat.v1 import types_pb2 as types

_RETRIES: Final = urllib3.Retry(
    4, backoff_factor=0.5, status_forcelist=(500, 502, 503, 504), raise_on_status=False
)


@dataclass(frozen=True, slots=True)
class Opened:
    """A held clip, and the file of its first chunk."""

    clip: types.Clip
    path: Path


def open_previews(clips: Iterable[types.Clip], directory: Path) -> Iterator[Opened]:
    """Fetch each clip's first chunk into `directory`, which is made when it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    taken: set[str] = set()
    with urllib3.PoolManager(timeout=urllib3.Timeout(connect=10, read=20)) as pool:
        for clip in clips:
            if not clip.HasField("preview"):
                continue
            path = directory / _file_name(clip, taken)
            if not path.exists():
                preview = clip.preview
                data = _get(pool, preview.init, preview.init_url)
                data += _get(pool, preview.segment, preview.segment_url)
                part = path.with_name(path.name + ".part")
                part.write_bytes(data)
                os.replace(part, path)
            yield Opened(clip, path)


def _file_name(clip: types.Clip, taken: set[str]) -> str:
    """The name of a first chunk, which changes with its bytes, and is no other clip's."""
    name = safe_file_name(
        f"{clip.name}_look_{clip.preview.segment.sha256[:8]}", clip.version, "mp4"
    )
    if name.casefold() in taken:
        name = safe_file_name(f"{clip.clip_id}_look", clip.version, "mp4")
    taken.add(name.casefold())
    return name


def _get(pool: urllib3.PoolManager, wanted: types.Artifact, url: str) -> bytes:
    """The bytes of an object. Raises `FetchFailed` when they are not those that were recorded."""
    try:
        response = pool.request("GET", url, retries=_RETRIES)
    except urllib3.exceptions.HTTPError as error:
        raise FetchFailed(f"{wanted.key}: {error}; run the same command again") from error
    if response.status != 200:
        raise FetchFailed(f"{wanted.key}: the object store answered {response.status}")
    if hashlib.sha256(response.data).hexdigest() != wanted.sha256:
        raise FetchFailed(f"{wanted.key}: its SHA-256 is not the one that was recorded")
    return response.data
