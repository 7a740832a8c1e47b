"""Files that clips start from, on their way into the bucket: which are there, where others go.

They are kept by their content, so that a file is sent once, whoever sends it. A gateway remembers
nothing that matters: an upload in parts is found again in the store itself.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from farm.domain.errors import ObjectMismatch, ObjectMissing, ObjectStoreUnavailable
from farm.domain.inputs import INPUT_BYTES_MAX
from farm.domain.names import input_key
from farm.domain.project import DEFAULT_PROJECT
from farm.domain.values import Limits as RowLimits
from farm.domain.values import shown
from farm.gateway.grpc_errors import BadRequest
from farm.gateway.settings import Limits
from farm.gateway.threads import Threads
from farm.ports import Ledger, ObjectStore, Upload
from heliostat.v1 import batch_service_pb2 as batch_pb

PART_BYTES: Final = 16 << 20
"""A file with no more is sent whole."""

PROMISE_SECONDS: Final = 86_400.0
"""For so long a file that a client was told to be there is not swept."""

_TYPE: Final = "application/octet-stream"
_SHA256_BASE64_CHARS: Final = 44


class InputDesk:
    """Answers PrepareInputs."""

    def __init__(
        self,
        ledger: Ledger,
        objects: ObjectStore,
        row_limits: RowLimits,
        limits: Limits,
        *,
        part_bytes: int = PART_BYTES,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ledger = ledger
        self._objects = objects
        self._row_limits = row_limits
        self._limits = limits
        self._part_bytes = part_bytes
        self._now = now
        self._threads = Threads(limits.input_threads, "inputs")
        self._verified: OrderedDict[str, None] = OrderedDict()
        self._promised: OrderedDict[str, float] = OrderedDict()

    def close(self) -> None:
        """Look at nothing more."""
        self._threads.close()

    def is_promised(self, key: str) -> bool:
        """A client was told not long ago that this is there, and may be about to name it."""
        return self._promised.get(key, 0.0) > self._now() - PROMISE_SECONDS

    async def prepare(
        self, request: batch_pb.PrepareInputsRequest
    ) -> batch_pb.PrepareInputsResponse:
        """Which files are there, and where to put the others. Raises `BadRequest`."""
        self._check(request)
        if request.files and not request.only_look:
            await self._threads.run(self._check_project, request.project)
        project = request.project or DEFAULT_PROJECT
        places = [
            self._threads.run(self._place, project, file, only_look=request.only_look)
            for file in request.files
        ]
        return batch_pb.PrepareInputsResponse(
            places=await asyncio.gather(*places),
            part_bytes=self._part_bytes,
            bytes_max=INPUT_BYTES_MAX,
            bucket=self._row_limits.bucket,
            roots=[
                batch_pb.Root(name=r.name, linux=r.linux, windows=r.windows, macos=r.macos)
                for r in self._row_limits.roots
            ],
        )

    def _check(self, request: batch_pb.PrepareInputsRequest) -> None:
        most, files = self._limits.input_files_max, len(request.files)
        if files > most:
            raise BadRequest(f"{files} files at once are too many: ask for {most} at most")
        most, parts = self._limits.input_parts_max, 0
        for number, file in enumerate(request.files, 1):
            try:
                input_key(request.project or DEFAULT_PROJECT, file.sha256, file.ext)
            except ValueError as error:
                raise BadRequest(f"file {number}: {error}") from None
            if not 0 < file.size_bytes <= INPUT_BYTES_MAX:
                raise BadRequest(
                    f"file {number} has {file.size_bytes} bytes: 1 to {INPUT_BYTES_MAX} are taken"
                )
            sizes = self._sizes(file)
            if sizes and [len(text) for text in file.part_sha256] != (
                [_SHA256_BASE64_CHARS] * len(sizes)
            ):
                raise BadRequest(
                    f"file {number} goes in {len(sizes)} parts of {self._part_bytes} bytes: give "
                    "the SHA-256 of each in base64"
                )
            parts += len(sizes) or 1
        if parts > most:
            raise BadRequest(f"{parts} parts at once are too many: ask for {most} at most")

    def _check_project(self, name: str) -> None:
        if name and name not in {each.name for each in self._ledger.projects()}:
            raise BadRequest(
                f"there is no project {shown(name)}: `farm project set {name}` makes it"
            )

    def _sizes(self, file: batch_pb.InputFile) -> list[int]:
        """Of its parts, in order; none for a file that is sent whole."""
        if file.size_bytes <= self._part_bytes:
            return []
        full, rest = divmod(file.size_bytes, self._part_bytes)
        return [self._part_bytes] * full + ([rest] if rest else [])

    def _place(
        self, project: str, file: batch_pb.InputFile, *, only_look: bool
    ) -> batch_pb.InputPlace:
        key = input_key(project, file.sha256, file.ext)
        place = batch_pb.InputPlace(
            place=f"s3://{self._row_limits.bucket}/{key}", in_parts=bool(self._sizes(file))
        )
        place.is_there = self._is_there(key, file)
        if place.is_there or only_look:
            return place
        try:
            parts = self._parts(key, file)
        except ObjectMissing:  # another client joined the upload just now, or somebody ended it
            raise ObjectStoreUnavailable(f"the upload of {key} is over: ask again") from None
        if not parts:
            self._promise(key)
            place.is_there = True
        place.parts.extend(parts)
        return place

    def _is_there(self, key: str, file: batch_pb.InputFile) -> bool:
        """A file that is sent whole is proven once; of parts `_join` did it."""
        if file.size_bytes > self._part_bytes or key in self._verified:
            is_there = self._objects.find_size(key) == file.size_bytes
        else:
            try:
                self._objects.verify(key, file.size_bytes, file.sha256)
                is_there = True
            except (ObjectMissing, ObjectMismatch):
                is_there = False
        if is_there:
            self._promise(key)
        return is_there

    def _promise(self, key: str) -> None:
        self._verified[key] = None
        self._promised[key] = self._now()
        for known, most in (
            (self._verified, self._limits.verified_max),
            (self._promised, self._limits.input_promises_max),
        ):
            known.move_to_end(key)
            if len(known) > most:
                known.popitem(last=False)

    def _parts(self, key: str, file: batch_pb.InputFile) -> list[batch_pb.InputPart]:
        """What is still to be sent; nothing when the last part had come, and it is joined."""
        sizes = self._sizes(file)
        if not sizes:
            grant = self._objects.presign_put(key, file.size_bytes, file.sha256, _TYPE)
            return [batch_pb.InputPart(number=1, url=grant.url, headers=grant.headers)]
        upload = self._upload(key)
        there = self._objects.uploaded_parts(upload)
        lacking = [
            number
            for number, size in enumerate(sizes, 1)
            if number not in there or there[number].size_bytes != size
        ]
        if not lacking:
            given = zip(range(1, len(sizes) + 1), file.part_sha256, strict=True)
            self._objects.join_parts(upload, [(there[n], sha256) for n, sha256 in given])
            if self._is_right(key, file):
                return []
            upload, lacking = self._upload(key), list(range(1, len(sizes) + 1))
        found = []
        for number in lacking:
            grant = self._objects.presign_part(
                upload, number, sizes[number - 1], file.part_sha256[number - 1]
            )
            found.append(batch_pb.InputPart(number=number, url=grant.url, headers=grant.headers))
        return found

    def _upload(self, key: str) -> Upload:
        """The one that is under way, or a new one."""
        found = [each for each in self._objects.uploads(key) if each.key == key]
        begun = min(found, key=lambda each: (each.begun_at, each.upload_id), default=None)
        return begun or self._objects.begin_upload(key, _TYPE)

    def _is_right(self, key: str, file: batch_pb.InputFile) -> bool:
        """Whether the parts make up the file that was announced; if not, it is deleted."""
        try:
            self._objects.verify_bytes(key, file.size_bytes, file.sha256)
        except ObjectMismatch:
            self._objects.delete(key)
            return False
        return True
