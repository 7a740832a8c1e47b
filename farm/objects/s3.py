"""An S3 bucket as the farm's object store: grants for nodes, proofs for the gateway.

boto3 signs and speaks; every call is retried here, with jittered backoff, and botocore's own
retries are off, so that the number of tries is the one that is written below.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import boto3
import urllib3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    HTTPClientError,
    IncompleteReadError,
)
from botocore.exceptions import (
    ConnectionError as BotoConnectionError,
)
from botocore.parsers import ResponseParserError
from tenacity import (
    RetryError,
    Retrying,
    retry_if_exception,
    stop_after_attempt,
    wait_random_exponential,
)
from urllib3.exceptions import HTTPError

from farm.domain.errors import (
    ObjectMismatch,
    ObjectMissing,
    ObjectStoreError,
    ObjectStoreUnavailable,
)
from farm.objects.multipart import Multipart
from farm.ports import Grant, ObjectInfo

_T = TypeVar("_T")

_READ_BYTES = 1 << 20
_MISSING_CODES = frozenset({"404", "NoSuchKey", "NotFound"})
_TRANSIENT_CODES = frozenset(
    {
        "BadDigest",  # our own PUT was damaged on its way: the bytes in memory are what we signed
        "IncompleteBody",
        "InternalError",
        "NoSuchBucket",  # of a store whose servers are just starting: the bucket was ensured
        "OperationAborted",
        "RequestTimeout",
        "ServiceUnavailable",
        "SlowDown",
        "Throttling",
        "XAmzContentSHA256Mismatch",
    }
)
_TRANSPORT = (BotoConnectionError, HTTPClientError, IncompleteReadError, HTTPError, OSError)
"""Resets, timeouts, refused connections, bodies that end early."""
_ERROR_CODE = re.compile(rb"<Code>([^<]{1,100})</Code>")
_ERROR_BODY = re.compile(rb"\A\s*(<\?xml[^>]*>\s*)?<Error[\s>]")


@dataclass(frozen=True, slots=True, kw_only=True)
class S3Settings:
    """Which bucket, and how to reach it. The keys never show in a repr."""

    endpoint: str
    """`http(s)://HOST[:PORT]`."""
    bucket: str
    access_key: str = field(repr=False)
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    url_seconds: int = 900
    """How long a presigned URL lives; at most 15 minutes."""
    tries_max: int = 6
    backoff_seconds_max: float = 5.0
    connect_seconds_max: float = 3.0
    read_seconds_max: float = 20.0
    """The longest silence of the store in the middle of an answer."""
    connections_max: int = 16

    def __post_init__(self) -> None:
        parts = urlsplit(self.endpoint)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ValueError(f"object store endpoint {self.endpoint!r}: want http(s)://HOST[:PORT]")
        if not 1 <= self.url_seconds <= 900:
            raise ValueError(f"url_seconds is {self.url_seconds}: want 1 to 900")
        if not self.bucket or not self.access_key or not self.secret_key:
            raise ValueError("the object store needs a bucket, an access key and a secret key")


class S3ObjectStore(Multipart):
    """The farm's `ObjectStore` over one bucket. Safe to share between threads.

    `rehash` says how `verify` proves an object: False trusts a HEAD, which is enough where the
    store refuses bytes that do not match the checksum in the grant (see `farm.objects.probe`);
    True reads the object back. It is True until a probe has shown that a HEAD will do.
    """

    def __init__(self, settings: S3Settings, *, rehash: bool = True) -> None:
        self.settings = settings
        self.rehash = rehash
        self.client: Any = _new_client(
            endpoint_url=settings.endpoint,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=settings.connect_seconds_max,
                read_timeout=settings.read_seconds_max,
                max_pool_connections=settings.connections_max,
                retries={"total_max_attempts": 1, "mode": "standard"},
            ),
        )

        self._pool = urllib3.PoolManager(
            maxsize=settings.connections_max,
            retries=False,
            timeout=urllib3.Timeout(
                connect=settings.connect_seconds_max, read=settings.read_seconds_max
            ),
        )

    def ensure_bucket(self) -> None:
        """Create the bucket unless it is there already."""

        def ensure() -> None:
            try:
                self.client.head_bucket(Bucket=self.settings.bucket)
            except ClientError as error:
                if _status(error) != 404:
                    raise
                self._create_bucket()

        self._call("bucket", self.settings.bucket, ensure)

    def presign_put(self, key: str, size: int, sha256_hex: str, content_type: str) -> Grant:
        """A PUT of exactly these bytes: length, checksum and type are part of the signature."""
        checksum = checksum_header(sha256_hex)
        url = self.client.generate_presigned_url(
            "put_object",
            Params={
                "Bucket": self.settings.bucket,
                "Key": key,
                "ContentLength": size,
                "ContentType": content_type,
                "ChecksumSHA256": checksum,
            },
            ExpiresIn=self.settings.url_seconds,
        )
        headers = {
            "Content-Length": str(size),
            "Content-Type": content_type,
            "x-amz-checksum-sha256": checksum,
        }
        return Grant(url=url, headers=headers)

    def presign_get(self, key: str) -> str:
        """A GET; a Range header may be added to it."""
        url: str = self.client.generate_presigned_url(
            "get_object",
            Params={"Bucket": self.settings.bucket, "Key": key},
            ExpiresIn=self.settings.url_seconds,
        )
        return url

    def verify(self, key: str, size: int, sha256_hex: str) -> None:
        """Return only when these bytes are there. Raises `ObjectMissing`, `ObjectMismatch`."""
        prove = self._verify_bytes if self.rehash else self._verify_head
        self._call("verify", key, partial(prove, key, size, sha256_hex))

    def verify_bytes(self, key: str, size: int, sha256_hex: str) -> None:
        """The same by reading every byte, whatever the store enforces."""
        self._call("verify", key, partial(self._verify_bytes, key, size, sha256_hex))

    def find_size(self, key: str) -> int | None:
        """How many bytes an object has; None when there is none."""
        head = partial(self.client.head_object, Bucket=self.settings.bucket, Key=key)
        try:
            return int(self._call("look at", key, head)["ContentLength"])
        except ObjectMissing:
            return None

    def get(self, key: str) -> bytes:
        """An object, whole. Raises `ObjectMissing`."""
        return self._call("get", key, partial(self._read, key))

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Write an object, its checksum signed in."""
        checksum = checksum_header(hashlib.sha256(data).hexdigest())
        put = partial(
            self.client.put_object,
            Bucket=self.settings.bucket,
            Key=key,
            Body=data,
            ContentType=content_type,
            ChecksumSHA256=checksum,
        )
        self._call("put", key, put)

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""

        def delete() -> None:
            try:
                self.client.delete_object(Bucket=self.settings.bucket, Key=key)
            except ClientError as error:
                if _code(error) not in _MISSING_CODES:
                    raise

        self._call("delete", key, delete)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """Objects whose keys begin with `prefix`, in the order of their keys, page by page."""
        token: str | None = None
        while True:
            more: dict[str, Any] = {"ContinuationToken": token} if token else {}
            page = self._call(
                "list",
                prefix,
                partial(
                    self.client.list_objects_v2,
                    Bucket=self.settings.bucket,
                    Prefix=prefix,
                    **more,
                ),
            )
            for entry in page.get("Contents", ()):
                yield ObjectInfo(
                    key=entry["Key"],
                    size_bytes=entry["Size"],
                    modified_at=entry["LastModified"].timestamp(),
                )
            token = page.get("NextContinuationToken")
            if not page.get("IsTruncated") or not token:
                return

    def _create_bucket(self) -> None:
        region = self.settings.region
        where: dict[str, Any] = (
            {}
            if region == "us-east-1"
            else {"CreateBucketConfiguration": {"LocationConstraint": region}}
        )
        try:
            self.client.create_bucket(Bucket=self.settings.bucket, **where)
        except ClientError as error:
            if _code(error) != "BucketAlreadyOwnedByYou":
                raise

    def _verify_head(self, key: str, size: int, sha256_hex: str) -> None:
        head = self.client.head_object(Bucket=self.settings.bucket, Key=key, ChecksumMode="ENABLED")
        if head["ContentLength"] != size:
            raise ObjectMismatch(f"object {key} has {head['ContentLength']} bytes, promised {size}")
        checksum = head.get("ChecksumSHA256")
        if checksum and checksum != checksum_header(sha256_hex):
            raise ObjectMismatch(f"object {key} has checksum {checksum}, promised {sha256_hex}")

    def _verify_bytes(self, key: str, size: int, sha256_hex: str) -> None:
        digest, count = hashlib.sha256(), 0
        for block in self._blocks(key):
            digest.update(block)
            count += len(block)
        if count != size:
            raise ObjectMismatch(f"object {key} has {count} bytes, promised {size}")
        if digest.hexdigest() != sha256_hex:
            found = digest.hexdigest()
            raise ObjectMismatch(f"object {key} has SHA-256 {found}, promised {sha256_hex}")

    def _read(self, key: str) -> bytes:
        return b"".join(self._blocks(key))

    def _blocks(self, key: str) -> Iterator[bytes]:
        """An object's bytes, all that the store says it has (urllib3 counts them).

        By a presigned GET, as nodes read it: half of what boto3 takes for a small object. Raises
        `_CutShort` when what came is an error's body, not them.
        """
        answer = self._pool.request(
            "GET",
            self.presign_get(key),
            headers={"Accept-Encoding": "identity"},
            redirect=False,
            preload_content=False,
        )
        try:
            first = answer.read(_READ_BYTES)
            if answer.status != 200:
                raise _client_error(answer.status, first)
            is_xml = "xml" in answer.headers.get("Content-Type", "")
            if is_xml and _ERROR_BODY.match(first):
                raise _CutShort(f"an error came as the object: {first[:200]!r}")
            yield first
            while block := answer.read(_READ_BYTES):
                yield block
        finally:
            answer.close() if answer.length_remaining else answer.release_conn()

    def _call(self, what: str, key: str, call: Callable[[], _T]) -> _T:
        """`call`, retried while the store stumbles. Other errors become the port's own."""
        retrying = Retrying(
            retry=retry_if_exception(_is_transient),
            stop=stop_after_attempt(self.settings.tries_max),
            wait=wait_random_exponential(
                multiplier=0.2, max=self.settings.backoff_seconds_max, exp_base=2
            ),
        )
        try:
            return retrying(call)
        except RetryError as error:
            cause = error.last_attempt.exception()
            raise ObjectStoreUnavailable(
                f"{what} {key}: {self.settings.endpoint} gave no usable answer in "
                f"{self.settings.tries_max} tries: {cause}"
            ) from cause
        except ClientError as error:
            if _code(error) in _MISSING_CODES or _status(error) == 404:
                raise ObjectMissing(f"{what} {key}: no such object") from error
            raise ObjectStoreError(
                f"{what} {key}: {self.settings.endpoint} refused: {error}"
            ) from error
        except BotoCoreError as error:
            raise ObjectStoreError(f"{what} {key}: {error}") from error


class _CutShort(Exception):
    """An answer that is not the object: to be asked for again."""


_session = functools.cache(boto3.session.Session)
_session_lock = threading.Lock()


def _new_client(**options: Any) -> Any:
    """An S3 client; those of one process share what boto3 reads from its service files.

    Clients may be shared between threads, the session that makes them may not.
    """
    with _session_lock:
        return _session().client("s3", **options)


def checksum_header(sha256_hex: str) -> str:
    """A SHA-256 as S3's headers want it: base64 of its 32 bytes. Raises ValueError."""
    digest = bytes.fromhex(sha256_hex)
    if len(digest) != 32:
        raise ValueError(f"{sha256_hex!r} is no SHA-256")
    return base64.b64encode(digest).decode()


def _client_error(status: int, body: bytes) -> ClientError:
    """A refusal as botocore would put it."""
    code = _ERROR_CODE.search(body)
    said = {"Code": code[1].decode(errors="replace") if code else str(status), "Message": ""}
    about: Any = {"Error": said, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(about, "GetObject")


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


def _status(error: ClientError) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, ClientError):
        status = _status(error)
        # An error that came with 200 keeps that status; its code then decides.
        return status >= 500 or status in {408, 429} or _code(error) in _TRANSIENT_CODES
    return isinstance(error, (_CutShort, ResponseParserError, *_TRANSPORT))
