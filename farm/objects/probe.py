"""What an object store really enforces, tried at start-up rather than believed.

Every store calls itself S3-compatible; some accept bytes that do not match their checksum.
Where that is so, `verify` has to read each object back.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

import urllib3
from urllib3.exceptions import HTTPError

from farm.domain.errors import ObjectStoreUnavailable
from farm.objects.s3 import S3ObjectStore
from farm.ports import Grant

_BODY = bytes(range(256)) * 16
_OTHER = _BODY[:-1] + b"\0"
_TYPE = "application/octet-stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What was seen of a store."""

    presigned_put: bool
    presigned_get: bool
    range_get: bool
    wrong_checksum_refused: bool
    length_enforced: bool
    missing_header_refused: bool
    signature_checked: bool

    @property
    def rehash(self) -> bool:
        """Whether `verify` must read objects back, as a HEAD proves nothing about their bytes."""
        return not (self.wrong_checksum_refused and self.missing_header_refused)

    @property
    def usable(self) -> bool:
        """Whether a farm can work on this store at all."""
        return self.presigned_put and self.presigned_get and self.range_get

    def rows(self) -> list[tuple[str, bool, str]]:
        """What was tried, whether it holds, and what follows where it does not."""
        reread = "every object is read back and hashed before it is committed"
        return [
            ("presigned PUT", self.presigned_put, "the farm cannot use this store"),
            ("presigned GET", self.presigned_get, "the farm cannot use this store"),
            ("range GET", self.range_get, "the farm cannot use this store"),
            ("wrong checksum refused", self.wrong_checksum_refused, reread),
            ("checksum header required", self.missing_header_refused, reread),
            ("length enforced", self.length_enforced, "a node could upload more than granted"),
            ("signature checked", self.signature_checked, "anybody can write to this bucket"),
        ]


def probe(store: S3ObjectStore) -> Capabilities:
    """Try everything that the farm relies on; the bucket must exist. Leaves nothing behind.

    Raises `ObjectStoreUnavailable` when the store does not answer.
    """
    prefix = f".heliostat-probe/{secrets.token_hex(8)}"
    settings = store.settings
    timeout = urllib3.Timeout(connect=settings.connect_seconds_max, read=settings.read_seconds_max)
    # Retries are for transport only: a status is what we are here to see.
    retries = urllib3.Retry(total=4, status=0, backoff_factor=0.2, backoff_jitter=0.2)
    try:
        with urllib3.PoolManager(timeout=timeout, retries=retries) as pool:
            return _Probe(store, pool, prefix).run()
    except HTTPError as error:
        raise ObjectStoreUnavailable(f"probing {settings.endpoint}: {error}") from error
    finally:
        for entry in list(store.list(prefix)):
            store.delete(entry.key)


class _Probe:
    def __init__(self, store: S3ObjectStore, pool: urllib3.PoolManager, prefix: str) -> None:
        self._store = store
        self._pool = pool
        self._prefix = prefix

    def run(self) -> Capabilities:
        good = self._grant("good")
        put = self._put(good, _BODY)
        url = self._store.presign_get(f"{self._prefix}/good")
        whole = self._pool.request("GET", url)
        part = self._pool.request("GET", url, headers={"Range": "bytes=16-31"})
        short = self._grant("short")
        bare = self._grant("bare")
        forged = self._grant("forged")
        return Capabilities(
            presigned_put=put,
            presigned_get=whole.status == 200 and whole.data == _BODY,
            range_get=part.status == 206 and part.data == _BODY[16:32],
            wrong_checksum_refused=not self._put(self._grant("wrong"), _OTHER),
            length_enforced=not self._put(short, _BODY[:-1]),
            missing_header_refused=not self._put(bare, _BODY, without="x-amz-checksum-sha256"),
            signature_checked=not self._put(
                Grant(url=_forge(forged.url), headers=forged.headers), _BODY
            ),
        )

    def _grant(self, name: str) -> Grant:
        return self._store.presign_put(
            f"{self._prefix}/{name}", len(_BODY), hashlib.sha256(_BODY).hexdigest(), _TYPE
        )

    def _put(self, grant: Grant, body: bytes, *, without: str = "") -> bool:
        """Whether the store took it."""
        headers: Mapping[str, str] = {
            **{name: value for name, value in grant.headers.items() if name != without},
            "Content-Length": str(len(body)),
        }
        answer = self._pool.request("PUT", grant.url, body=body, headers=headers)
        if answer.status >= 500:
            raise ObjectStoreUnavailable(
                f"probing {self._store.settings.endpoint}: {answer.status} {answer.data[:200]!r}"
            )
        return 200 <= answer.status < 300


def _forge(url: str) -> str:
    """The URL with the last digit of its signature changed."""
    name = "X-Amz-Signature="
    begin = url.index(name) + len(name)
    signature = url[begin : begin + 64]
    last = "0" if signature[-1] != "0" else "1"
    return url.replace(signature, signature[:-1] + last)
