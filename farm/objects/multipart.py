"""Large objects sent in parts: begun here, sent by presigned PUTs, joined here when all are there.

Nothing of an upload is kept outside the store: whoever asks later finds it by its key and goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from farm.domain.errors import ObjectMissing
from farm.ports import Grant, Upload, UploadedPart

if TYPE_CHECKING:
    from farm.objects.s3 import S3Settings

_T = TypeVar("_T")


class Multipart:
    """Uploads in parts, as a part of `S3ObjectStore`."""

    client: Any
    settings: S3Settings

    def _call(self, what: str, key: str, call: Callable[[], _T]) -> _T:
        """As the whole store has it."""
        raise NotImplementedError

    def begin_upload(self, key: str, content_type: str) -> Upload:
        """Begin to send an object in parts; of two who begin at once, one upload is kept."""
        begin = partial(
            self.client.create_multipart_upload,
            Bucket=self.settings.bucket,
            Key=key,
            ContentType=content_type,
            ChecksumAlgorithm="SHA256",
        )
        self._call("begin upload", key, begin)
        found = [upload for upload in self.uploads(key) if upload.key == key]
        if not found:
            raise ObjectMissing(f"upload {key}: the store does not list what was begun")
        first, *others = sorted(found, key=lambda each: (each.begun_at, each.upload_id))
        for other in others:
            self.give_up(other)
        return first

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Uploads in parts that are neither joined nor given up, page by page."""
        after: dict[str, str] = {}
        while True:
            page = self._call(
                "list uploads",
                prefix,
                partial(
                    self.client.list_multipart_uploads,
                    Bucket=self.settings.bucket,
                    Prefix=prefix,
                    **after,
                ),
            )
            for entry in page.get("Uploads", ()):
                yield Upload(entry["Key"], entry["UploadId"], entry["Initiated"].timestamp())
            if not page.get("IsTruncated"):
                return
            after = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def uploaded_parts(self, upload: Upload) -> dict[int, UploadedPart]:
        """Parts that are there, by number from 1. Raises `ObjectMissing` when it is over."""
        found: dict[int, UploadedPart] = {}
        after = 0
        while True:
            page = self._call(
                "list parts",
                upload.key,
                partial(self.client.list_parts, **self._of(upload), PartNumberMarker=after),
            )
            for entry in page.get("Parts", ()):
                found[entry["PartNumber"]] = UploadedPart(entry["Size"], entry["ETag"])
            if not page.get("IsTruncated"):
                return found
            after = page["NextPartNumberMarker"]

    def presign_part(self, upload: Upload, number: int, size: int, sha256_base64: str) -> Grant:
        """A PUT of exactly this part: length and checksum are part of the signature."""
        url = self.client.generate_presigned_url(
            "upload_part",
            Params={
                **self._of(upload),
                "PartNumber": number,
                "ContentLength": size,
                "ChecksumSHA256": sha256_base64,
            },
            ExpiresIn=self.settings.url_seconds,
        )
        headers = {"Content-Length": str(size), "x-amz-checksum-sha256": sha256_base64}
        return Grant(url=url, headers=headers)

    def join_parts(self, upload: Upload, parts: Sequence[tuple[UploadedPart, str]]) -> None:
        """Make the object of all its parts, in order, each with its SHA-256 in base64."""
        listed = [
            {"PartNumber": number, "ETag": part.etag, "ChecksumSHA256": sha256_base64}
            for number, (part, sha256_base64) in enumerate(parts, 1)
        ]
        join = partial(
            self.client.complete_multipart_upload,
            **self._of(upload),
            MultipartUpload={"Parts": listed},
        )
        self._call("join parts", upload.key, join)

    def give_up(self, upload: Upload) -> None:
        """Forget an upload and its parts; one that is over is no error."""
        try:
            abort = partial(self.client.abort_multipart_upload, **self._of(upload))
            self._call("give up upload", upload.key, abort)
        except ObjectMissing:
            return

    def _of(self, upload: Upload) -> dict[str, str]:
        return {"Bucket": self.settings.bucket, "Key": upload.key, "UploadId": upload.upload_id}
