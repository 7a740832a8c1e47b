"""Where a pinned model is read from: a neighbour's `model serve`, any web server, or S3."""

from __future__ import annotations

import ssl
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, Protocol
from urllib.parse import quote, urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from node_agent.models.info import ModelError
from node_agent.models.manifest import MANIFEST_NAME

MANIFEST_BYTES_MAX: Final = 16 << 20
_READ_BYTES: Final = 1 << 20
_CONNECT_SECONDS_MAX: Final = 10
_READ_SECONDS_MAX: Final = 60


class Stumbled(Exception):
    """A source gave no usable answer this time; asking again may help."""


class Source(Protocol):
    """A directory elsewhere that holds a model with its manifest."""

    @property
    def address(self) -> str:
        """How messages name it; without secrets."""
        ...

    def manifest(self) -> bytes:
        """The manifest's file. Raises `Stumbled`, `ModelError`."""
        ...

    def read(self, path: str, offset: int, size: int | None = None) -> Generator[bytes, None, None]:
        """A file's bytes from `offset` on, block by block, `size` of them or all; a server that
        knows no ranges gives more. Raises `Stumbled`, `ModelError`."""
        ...


class HttpSource:
    """A model's directory on a web server; one without range requests is read from the start."""

    def __init__(self, url: str, *, token: str = "", ca: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.username or parts.password or parts.query or parts.fragment or not parts.hostname:
            raise ModelError(
                f"{parts.scheme}://{parts.hostname or ''}{parts.path}: write the address as"
                " http://HOST:PORT/PATH; a token goes into HELIOSTAT_MODEL_TOKEN or --token-file"
            )
        self.address = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._pool = http_pool(ssl.create_default_context(cafile=ca) if ca else None)

    def manifest(self) -> bytes:
        """The manifest's file."""
        return _limited(self.read(MANIFEST_NAME, 0), self.address)

    def read(self, path: str, offset: int, size: int | None = None) -> Generator[bytes, None, None]:
        """A file's bytes from `offset` on."""
        url = f"{self.address}/{quote(path)}"
        return read_http(self._pool, url, self._headers, offset, size=size)


class S3Source:
    """A model's directory under a prefix of a bucket; keys come from the usual environment."""

    def __init__(self, url: str, *, endpoint_url: str = "") -> None:
        try:
            import boto3
            from botocore.config import Config
        except ModuleNotFoundError:
            raise ModelError(
                f"{url}: boto3 is not installed; `pip install boto3`, or fetch from a web server"
            ) from None
        parts = urlsplit(url)
        if not parts.netloc:
            raise ModelError(f"{url}: names no bucket; write s3://BUCKET/PREFIX")
        self.address = url.rstrip("/")
        self._bucket = parts.netloc
        self._prefix = parts.path.strip("/")
        self._client: Any = boto3.session.Session().client(
            "s3",
            endpoint_url=endpoint_url or None,
            config=Config(
                connect_timeout=_CONNECT_SECONDS_MAX,
                read_timeout=_READ_SECONDS_MAX,
                max_pool_connections=16,
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
            ),
        )

    def manifest(self) -> bytes:
        """The manifest's file."""
        return _limited(self.read(MANIFEST_NAME, 0), self.address)

    def read(self, path: str, offset: int, size: int | None = None) -> Generator[bytes, None, None]:
        """A file's bytes from `offset` on."""
        from botocore.exceptions import BotoCoreError, ClientError

        key = f"{self._prefix}/{path}".lstrip("/")
        where = f"s3://{self._bucket}/{key}"
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, **_range(offset, size))
            with closing(answer["Body"]) as body:
                yield from body.iter_chunks(_READ_BYTES)
        except ClientError as error:
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if status >= 500 or status in (408, 429):
                raise Stumbled(f"{where}: {error}") from error
            raise ModelError(f"{where}: {error}") from error
        except (BotoCoreError, HTTPError) as error:
            if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
                raise ModelError(
                    f"{where}: {error}; set AWS_ACCESS_KEY_ID and the secret"
                ) from error
            raise Stumbled(f"{where}: {error}") from error


def http_pool(context: ssl.SSLContext | None = None) -> urllib3.PoolManager:
    """Connections for `read_http`."""
    return urllib3.PoolManager(
        maxsize=16,
        retries=False,
        timeout=urllib3.Timeout(connect=_CONNECT_SECONDS_MAX, read=_READ_SECONDS_MAX),
        ssl_context=context,
    )


def read_http(
    pool: urllib3.PoolManager,
    url: str,
    headers: dict[str, str],
    offset: int,
    where: str = "",
    size: int | None = None,
) -> Generator[bytes, None, None]:
    """What is at `url` from byte `offset` on, `size` bytes of it or all; `where` names it if the
    address holds a secret.

    Follows no redirect: a token goes where it was sent to, and nowhere else. Raises `Stumbled`,
    `ModelError`.
    """
    where = where or url
    headers = {**headers, "Accept-Encoding": "identity", **_range(offset, size)}
    try:
        answer = pool.request("GET", url, headers=headers, preload_content=False, redirect=False)
    except HTTPError as error:
        raise Stumbled(f"{where}: {_without(url, error)}") from error
    with closing(answer):
        _check_status(where, answer.status)
        if answer.status == 206:
            _check_range(where, answer.headers.get("Content-Range", ""), offset)
        skip = 0 if answer.status == 206 else offset  # a server that knows no ranges
        try:
            for block in answer.stream(_READ_BYTES, decode_content=False):
                yield block[skip:]
                skip = max(skip - len(block), 0)
        except HTTPError as error:
            raise Stumbled(f"{where}: {_without(url, error)}") from error


def _without(url: str, error: Exception) -> str:
    """An error's text without the part of an address that may be a signature."""
    query = urlsplit(url).query
    return str(error).replace(query, "...") if query else str(error)


def _limited(blocks: Iterator[bytes], address: str) -> bytes:
    content = b""
    for block in blocks:
        content += block
        if len(content) > MANIFEST_BYTES_MAX:
            raise ModelError(f"{address}/{MANIFEST_NAME}: too long for a manifest")
    return content


def _range(offset: int, size: int | None) -> dict[str, str]:
    if size:
        return {"Range": f"bytes={offset}-{offset + size - 1}"}
    return {"Range": f"bytes={offset}-"} if offset else {}


def _check_status(url: str, status: int) -> None:
    if status in (200, 206):
        return
    if status >= 500 or status in (408, 429):
        raise Stumbled(f"{url}: answered {status}")
    remedy = {
        401: "set HELIOSTAT_MODEL_TOKEN or --token-file to its token",
        403: "it does not let this node in",
        404: "name a directory with a manifest (a neighbour lists its models at /)",
    }.get(status, "give the address of the model's directory itself")
    raise ModelError(f"{url}: answered {status}; {remedy}")


def _check_range(url: str, content_range: str, offset: int) -> None:
    if not content_range.startswith(f"bytes {offset}-"):
        raise Stumbled(f"{url}: asked from byte {offset} on, got {content_range!r}")
