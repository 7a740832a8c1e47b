"""What gateways need of the object store."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Grant:
    """A presigned PUT: whoever has it may write this one object, once or again, until it ends."""

    url: str
    headers: Mapping[str, str]
    """Signed in, to be sent exactly like this."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object in a listing."""

    key: str
    size_bytes: int
    modified_at: float
    """Unix seconds, on the object store's clock."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that is being sent in parts, and is none before all of them are joined."""

    key: str
    upload_id: str
    begun_at: float
    """Unix seconds, on the object store's clock."""


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part that has arrived."""

    size_bytes: int
    etag: str
    """What the store wants to see of it when the parts are joined."""


class ObjectStore(Protocol):
    """Where bytes live. Every call may raise `ObjectStoreUnavailable`; all may be retried."""

    def presign_put(self, key: str, size: int, sha256_hex: str, content_type: str) -> Grant:
        """A PUT of exactly these bytes. No request is made."""
        ...

    def presign_get(self, key: str) -> str:
        """A GET, ranges included. No request is made."""
        ...

    def verify(self, key: str, size: int, sha256_hex: str) -> None:
        """Return only when these bytes are there. Raises `ObjectMissing`, `ObjectMismatch`."""
        ...

    def get(self, key: str) -> bytes:
        """A small object, whole. Raises `ObjectMissing`."""
        ...

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Write a small object; returns once the store has it."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose keys begin with `prefix`, in the order of their keys."""
        ...

    def find_size(self, key: str) -> int | None:
        """How many bytes an object has; None when there is none."""
        ...

    def verify_bytes(self, key: str, size: int, sha256_hex: str) -> None:
        """As `verify`, by reading every byte."""
        ...

    def begin_upload(self, key: str, content_type: str) -> Upload:
        """Begin to send an object in parts."""
        ...

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Uploads in parts that are neither joined nor given up, of keys with this beginning."""
        ...

    def uploaded_parts(self, upload: Upload) -> dict[int, UploadedPart]:
        """Parts that are there, by number from 1. Raises `ObjectMissing` when it is over."""
        ...

    def presign_part(self, upload: Upload, number: int, size: int, sha256_base64: str) -> Grant:
        """A PUT of exactly this part. No request is made."""
        ...

    def join_parts(self, upload: Upload, parts: Sequence[tuple[UploadedPart, str]]) -> None:
        """Make the object of all its parts, in order, each with its SHA-256 in base64."""
        ...

    def give_up(self, upload: Upload) -> None:
        """Forget an upload and its parts; one that is over is no error."""
        ...
