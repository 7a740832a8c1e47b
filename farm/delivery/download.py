"""One object by its presigned URL: resumed where it was, and verified."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import urllib3

from farm.delivery.errors import FetchFailed

_ATTEMPTS: Final = 6
_BLOCK_BYTES: Final = 16 << 10
"""Written down at once: what a kill loses of each connection."""
_CONTENT_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_EXPIRED: Final = frozenset({401, 403})


class Stopped(Exception):
    """The user wants no more."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A file to be had."""

    name: str
    """For errors."""
    path: Path
    """Where it goes on from what is there, and is whole in the end."""
    sha256: str
    size_bytes: int
    url: Callable[[bool], str]
    """Its presigned GET; with True a fresh one, since the last has expired."""
    on_block: Callable[[], None] = lambda: None
    """Called now and then while it comes."""


class Downloader:
    """Fetches files; safe to use from several threads."""

    def __init__(
        self,
        *,
        connections: int,
        on_bytes: Callable[[int], None] = lambda _bytes: None,
        pause_seconds: float = 0.5,
    ) -> None:
        self.stop = threading.Event()
        self._pause_seconds = pause_seconds
        self._on_bytes = on_bytes
        self._pool = urllib3.PoolManager(
            maxsize=connections,
            retries=False,
            timeout=urllib3.Timeout(connect=10, read=20),
        )

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def fetch(self, wanted: Wanted) -> None:
        """Make `wanted.path` hold its bytes, verified. Raises `FetchFailed`, or `Stopped`."""
        part = wanted.path
        why, fresh = "", False
        for attempt in range(_ATTEMPTS):
            if attempt and self.stop.wait(self._pause_seconds * 2 ** (attempt - 1)):
                raise Stopped
            try:
                status = self._append(wanted, part, wanted.url(fresh))
            except (urllib3.exceptions.HTTPError, TimeoutError) as error:
                why = str(error)
                continue
            fresh = status in _EXPIRED
            if status == 416:
                part.unlink(missing_ok=True)
            if status not in (200, 206):
                why = f"the object store answered {status}"
                continue
            why = _mismatch(part, wanted)
            if not why:
                return
            if part.stat().st_size >= wanted.size_bytes:
                part.unlink()
        raise FetchFailed(f"{wanted.name}: {why}; run the same fetch again to go on")

    def _append(self, wanted: Wanted, part: Path, url: str) -> int:
        """Add what is missing to `part`; the answer's status."""
        have = part.stat().st_size if part.exists() else 0
        if have > wanted.size_bytes:
            part.unlink()
            have = 0
        if have == wanted.size_bytes and have:
            return 206
        headers = {"Range": f"bytes={have}-"} if have else {}
        response = self._pool.request("GET", url, headers=headers, preload_content=False)
        try:
            if response.status not in (200, 206):
                return response.status
            at = have if response.status == 206 and _starts_at(response, have) else 0
            if response.status == 206 and at != have:
                return 416
            with part.open("r+b" if part.exists() else "wb", buffering=0) as stream:
                stream.seek(at)
                stream.truncate()
                room = wanted.size_bytes - at
                for block in response.stream(_BLOCK_BYTES):
                    if self.stop.is_set():
                        raise Stopped
                    stream.write(block[: max(room, 0)])
                    room -= len(block)
                    self._on_bytes(len(block))
                    wanted.on_block()
                stream.flush()
                os.fsync(stream.fileno())
            return response.status
        finally:
            # An answer that was not read to its end cannot give its connection back.
            response.close()
            response.release_conn()


def sha256_of(path: Path) -> str:
    """Lower-case hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _mismatch(part: Path, wanted: Wanted) -> str:
    size = part.stat().st_size
    if size != wanted.size_bytes:
        return f"the connection ended after {size} of {wanted.size_bytes} bytes"
    if sha256_of(part) != wanted.sha256:
        return "its SHA-256 is not the take's"
    return ""


def _starts_at(response: urllib3.BaseHTTPResponse, offset: int) -> bool:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return bool(match) and int(match.group(1)) == offset if match else False
