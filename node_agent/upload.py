"""Bytes to and from the object store by presigned URLs: a node holds no keys.

Whatever may pass by itself (500, 503, an error inside a 200, resets, timeouts, damage on the
way) is tried again with jittered backoff. What remains is one of five errors that say what to
do next.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import urllib3
from tenacity import (
    RetryCallState,
    RetryError,
    Retrying,
    retry_if_exception_type,
    sleep_using_event,
    stop_after_attempt,
    stop_any,
    stop_when_event_set,
    wait_random_exponential,
)
from urllib3.exceptions import HTTPError

_T = TypeVar("_T")

_BLOCK_BYTES: Final = 1 << 18
_ERROR_BYTES_MAX: Final = 64 << 10
_ERROR_BODY = re.compile(rb"\A\s*(<\?xml[^>]*>\s*)?<Error[\s>]")
_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_MESSAGE = re.compile(rb"<Message>([^<]{1,300})</Message>")
_DAMAGED_CODES: Final = frozenset(
    {"BadDigest", "IncompleteBody", "InvalidDigest", "XAmzContentSHA256Mismatch"}
)
_TRANSIENT_CODES: Final = frozenset(
    {
        *("InternalError", "OperationAborted", "RequestTimeout", "ServiceUnavailable", "SlowDown"),
        # The farm's bucket is there: a store whose servers are just starting may not know it yet.
        "NoSuchBucket",
    }
)


class StorageError(Exception):
    """The object store did not do what was asked; what kind it is says what helps."""


class UrlExpired(StorageError):
    """The store does not honour this URL (any more): ask for a fresh grant."""


class Refused(StorageError):
    """The store, or the file, says that these are not the bytes of the grant: trying again as it
    is cannot help."""


class Missing(StorageError):
    """There is no such object."""


class TooLarge(StorageError):
    """The object has more bytes than may be fetched."""


class Unavailable(StorageError):
    """No usable answer after all tries: keep the file, try again later."""


class _Passing(Exception):
    """An answer worth another try."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLimits:
    """How long, and how often."""

    tries_max: int = 6
    backoff_seconds_first: float = 0.25
    backoff_seconds_max: float = 8.0
    connect_seconds_max: float = 5.0
    read_seconds_max: float = 30.0
    """The longest silence in the middle of a transfer; a slow one may take as long as it takes."""
    connections_max: int = 8


class ObjectTransfer:
    """Uploads and downloads files. Safe to share between threads.

    `stop` ends waiting between tries; what was under way then raises `Unavailable`. `on_retry`
    is called before each wait, with the reason.
    """

    def __init__(
        self,
        limits: TransferLimits | None = None,
        *,
        ca_file: str | None = None,
        stop: threading.Event | None = None,
        on_retry: Callable[[str], None] | None = None,
    ) -> None:
        self._limits = limits or TransferLimits()
        self._stop = stop or threading.Event()
        self._on_retry = on_retry
        self._pool = urllib3.PoolManager(
            maxsize=self._limits.connections_max,
            ca_certs=ca_file,
            retries=False,
            timeout=urllib3.Timeout(
                connect=self._limits.connect_seconds_max, read=self._limits.read_seconds_max
            ),
        )

    def put(self, url: str, headers: Mapping[str, str], path: Path) -> None:
        """Upload a file to a grant. Raises `UrlExpired`, `Refused`, `Unavailable`.

        Returns only once the store has acknowledged the very bytes that were granted.
        """
        self._retry(f"upload of {path.name}", lambda: self._put_once(url, headers, path))

    def get(self, url: str, path: Path, *, sha256: str, size: int) -> None:
        """Download to `path`, which appears whole and verified or not at all.

        `sha256` is lower-case hex. Raises `UrlExpired`, `Missing`, `Refused`, `Unavailable`.
        """

        def once(part: Path) -> None:
            found, count, head = self._get_once(url, part, size)
            if found != sha256 or count != size:
                if _ERROR_BODY.match(head):
                    _raise_for(200, head)
                raise _Passing(f"{count} bytes came, not the {size} with SHA-256 {sha256}")

        self._to_path(path, once)

    def fetch(self, url: str, path: Path, *, size_max: int) -> str:
        """Download an object of which nothing is known to `path`; returns its SHA-256 in hex.

        Raises `TooLarge` above `size_max` bytes, and what `get` raises.
        """

        def once(part: Path) -> str:
            found, count, head = self._get_once(url, part, size_max)
            if count > size_max:
                raise TooLarge(f"it has more than {size_max} bytes, at most so many are fetched")
            if _ERROR_BODY.match(head):
                _raise_for(200, head)
            return found

        return self._to_path(path, once)

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()

    def _put_once(self, url: str, headers: Mapping[str, str], path: Path) -> None:
        granted = _header(headers, "content-length")
        size = path.stat().st_size
        if granted is not None and int(granted) != size:
            raise Refused(f"{path.name} has {size} bytes, its grant is for {granted}")
        with path.open("rb") as file:
            answer = self._pool.request(
                "PUT",
                url,
                body=file,
                headers={"Content-Length": str(size), **headers},
                redirect=False,
                preload_content=False,
            )
            try:
                text = answer.read(_ERROR_BYTES_MAX, decode_content=True)
            finally:
                answer.release_conn()
        if 200 <= answer.status < 300 and not _ERROR_BODY.match(text):
            return
        _raise_for(answer.status, text, lambda: _is_granted_file(headers, path))

    def _to_path(self, path: Path, once: Callable[[Path], _T]) -> _T:
        """Have `once` write a file beside `path` until it succeeds, then give it its name."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{secrets.token_hex(8)}.part")
        try:
            found = self._retry(f"download of {path.name}", lambda: once(part))
            part.replace(path)
        finally:
            part.unlink(missing_ok=True)
        return found

    def _get_once(self, url: str, part: Path, size_max: int) -> tuple[str, int, bytes]:
        """SHA-256 in hex, bytes and beginning of what came; it stops above `size_max` bytes."""
        answer = self._pool.request(
            "GET",
            url,
            headers={"Accept-Encoding": "identity"},
            redirect=False,
            preload_content=False,
        )
        try:
            if answer.status != 200:
                _raise_for(answer.status, answer.read(_ERROR_BYTES_MAX))
            digest, count, head = hashlib.sha256(), 0, b""
            with part.open("wb") as file:
                for block in answer.stream(_BLOCK_BYTES):
                    head = head or block[:_ERROR_BYTES_MAX]
                    count += len(block)
                    if count > size_max:
                        break
                    digest.update(block)
                    file.write(block)
                file.flush()
                os.fsync(file.fileno())
        finally:
            answer.close() if answer.length_remaining else answer.release_conn()
        return digest.hexdigest(), count, head

    def _retry(self, what: str, attempt: Callable[[], _T]) -> _T:
        limits = self._limits
        retrying = Retrying(
            retry=retry_if_exception_type((_Passing, HTTPError, ConnectionError, TimeoutError)),
            stop=stop_any(stop_after_attempt(limits.tries_max), stop_when_event_set(self._stop)),
            wait=wait_random_exponential(
                multiplier=limits.backoff_seconds_first, max=limits.backoff_seconds_max
            ),
            sleep=sleep_using_event(self._stop),
            before_sleep=self._tell,
        )
        try:
            return retrying(attempt)
        except RetryError as error:
            cause = error.last_attempt.exception()
            tries = error.last_attempt.attempt_number
            raise Unavailable(f"{what}: no usable answer in {tries} tries: {cause}") from cause

    def _tell(self, state: RetryCallState) -> None:
        if self._on_retry is not None and state.outcome is not None:
            self._on_retry(str(state.outcome.exception()))


def _raise_for(status: int, text: bytes, is_granted_file: Callable[[], bool] | None = None) -> None:
    """The error that an answer stands for; 200 is one whose body is an error."""
    code, message = _found(_CODE, text), _found(_MESSAGE, text)
    said = f"{status} {code} {message}".strip()
    if code in _DAMAGED_CODES:
        # Either the file is not what was granted, or it was damaged on its way.
        if is_granted_file is None or is_granted_file():
            raise _Passing(f"damaged on its way: {said}")
        raise Refused(f"the file is not the one of its grant any more: {said}")
    if status >= 500 or status in {200, 408, 429} or code in _TRANSIENT_CODES:
        raise _Passing(said)
    if status in {401, 403}:
        raise UrlExpired(said)
    if status == 404:
        raise Missing(said)
    raise Refused(said)


def _is_granted_file(headers: Mapping[str, str], path: Path) -> bool:
    granted = _header(headers, "x-amz-checksum-sha256")
    if granted is None:
        return True
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").digest()
    return base64.b64encode(digest).decode() == granted


def _header(headers: Mapping[str, str], name: str) -> str | None:
    return next((value for key, value in headers.items() if key.lower() == name), None)


def _found(pattern: re.Pattern[bytes], text: bytes) -> str:
    match = pattern.search(text)
    return match.group(1).decode("utf-8", "replace") if match else ""
