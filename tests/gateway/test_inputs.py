"""Files that clips start from come in by their content: whole, in parts, and once."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
import urllib3

from farm.domain.inputs import INPUT_BYTES_MAX
from farm.domain.roots import Root
from farm.gateway.inputs import PROMISE_SECONDS, InputDesk
from farm.gateway.settings import Limits
from farm.objects.s3 import S3ObjectStore
from heliostat.v1 import batch_service_pb2 as pb
from tests.fixtures.gateway import Rig, reason_of

PART = 5 << 20
"""The least that S3 takes of a part that is not the last."""
WHOLE = b"a picture of a fox" * 100
LONG = bytes(range(256)) * (PART // 256) + b"the end"


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def file_of(data: bytes, ext: str = "png", part: int = PART) -> pb.InputFile:
    parts = [data[i : i + part] for i in range(0, len(data), part)]
    digests = [base64.b64encode(hashlib.sha256(each).digest()).decode() for each in parts]
    return pb.InputFile(
        sha256=sha256(data),
        size_bytes=len(data),
        ext=ext,
        part_sha256=digests if len(parts) > 1 else [],
    )


def put(part: pb.InputPart, data: bytes) -> int:
    headers = {**part.headers, "Content-Length": str(len(data))}
    return urllib3.request("PUT", part.url, body=data, headers=headers, retries=False).status


class Desk:
    """The desk over a real bucket, with small parts; each is a gateway that just started."""

    def __init__(self, rig: Rig, objects: S3ObjectStore) -> None:
        limits = replace(rig.gateway._desk.row_limits, bucket=objects.settings.bucket)
        self.now = 1e9
        self._desk = InputDesk(
            rig.ledger, objects, limits, Limits(), part_bytes=PART, now=lambda: self.now
        )
        self.is_promised = self._desk.is_promised
        self.close = self._desk.close

    async def ask(self, *files: pb.InputFile, **more: object) -> Sequence[pb.InputPlace]:
        request = pb.PrepareInputsRequest(files=files, **more)
        return (await self._desk.prepare(request)).places


@pytest.fixture
async def desk(stored_rig: Rig, object_store: S3ObjectStore) -> AsyncIterator[Desk]:
    desk = Desk(stored_rig, object_store)
    yield desk
    desk.close()


class TestWhole:
    async def test_a_file_is_sent_once_whoever_has_it(
        self, desk: Desk, object_store: S3ObjectStore
    ) -> None:
        (place,) = await desk.ask(file_of(WHOLE))
        key = f"default/inputs/{sha256(WHOLE)}.png"
        assert place.place == f"s3://{object_store.settings.bucket}/{key}"
        assert (place.is_there, place.in_parts, len(place.parts)) == (False, False, 1)
        assert put(place.parts[0], WHOLE) == 200
        (again,) = await desk.ask(file_of(WHOLE))
        assert (again.place, again.is_there, list(again.parts)) == (place.place, True, [])
        assert object_store.get(key) == WHOLE

    async def test_other_bytes_are_refused_by_the_store(
        self, desk: Desk, object_store: S3ObjectStore
    ) -> None:
        (place,) = await desk.ask(file_of(WHOLE))
        assert put(place.parts[0], WHOLE.replace(b"fox", b"cat")) == 400
        assert put(place.parts[0], WHOLE[:-1]) == 403
        assert list(object_store.list("")) == []
        (place,) = await desk.ask(file_of(WHOLE))
        assert not place.is_there

    async def test_what_a_careless_store_took_is_not_taken_as_there(
        self, desk: Desk, object_store: S3ObjectStore
    ) -> None:
        object_store.rehash = True
        key = f"default/inputs/{sha256(WHOLE)}.png"
        object_store.put(key, WHOLE.replace(b"fox", b"cat"), "image/png")
        (place,) = await desk.ask(file_of(WHOLE))
        assert (place.is_there, len(place.parts)) == (False, 1)

    async def test_a_look_begins_nothing(self, desk: Desk, object_store: S3ObjectStore) -> None:
        places = await desk.ask(file_of(WHOLE), file_of(LONG), only_look=True, project="p")
        assert [(p.is_there, p.in_parts, list(p.parts)) for p in places] == [
            (False, False, []),
            (False, True, []),
        ]
        assert list(object_store.uploads("")) == []

    async def test_who_was_told_that_it_is_there_may_count_on_it(self, desk: Desk) -> None:
        key = f"default/inputs/{sha256(WHOLE)}.png"
        (place,) = await desk.ask(file_of(WHOLE))
        put(place.parts[0], WHOLE)
        assert not desk.is_promised(key)
        await desk.ask(file_of(WHOLE), only_look=True)
        assert desk.is_promised(key)
        desk.now += PROMISE_SECONDS + 1
        assert not desk.is_promised(key)


class TestParts:
    async def test_an_upload_goes_on_where_it_was_after_all_died(
        self, desk: Desk, stored_rig: Rig, object_store: S3ObjectStore
    ) -> None:
        (place,) = await desk.ask(file_of(LONG, "mov"))
        assert place.in_parts
        assert [part.number for part in place.parts] == [1, 2]
        assert put(place.parts[0], LONG[:PART]) == 200
        other = Desk(stored_rig, object_store)
        (place,) = await other.ask(file_of(LONG, "mov"))
        assert [part.number for part in place.parts] == [2]
        assert put(place.parts[0], LONG[PART:]) == 200
        (place,) = await other.ask(file_of(LONG, "mov"))
        other.close()
        assert (place.is_there, list(place.parts)) == (True, [])
        assert object_store.get(f"default/inputs/{sha256(LONG)}.mov") == LONG
        assert list(object_store.uploads("")) == []
        (place,) = await desk.ask(file_of(LONG, "mov"))
        assert place.is_there

    async def test_other_bytes_of_a_part_are_refused_by_the_store(self, desk: Desk) -> None:
        (place,) = await desk.ask(file_of(LONG))
        assert put(place.parts[1], b"THE END") == 400
        assert put(place.parts[1], b"the") == 403
        (place,) = await desk.ask(file_of(LONG))
        assert [part.number for part in place.parts] == [1, 2]

    async def test_parts_that_do_not_make_the_file_are_thrown_away(
        self, desk: Desk, object_store: S3ObjectStore
    ) -> None:
        lie = file_of(LONG)
        lie.sha256 = sha256(b"something else")
        (place,) = await desk.ask(lie)
        for part, data in zip(place.parts, (LONG[:PART], LONG[PART:]), strict=True):
            assert put(part, data) == 200
        (place,) = await desk.ask(lie)
        assert not place.is_there
        assert [part.number for part in place.parts] == [1, 2]
        assert list(object_store.list("")) == []

    async def test_two_who_begin_at_once_send_one_upload(
        self, desk: Desk, object_store: S3ObjectStore
    ) -> None:
        key = f"default/inputs/{sha256(LONG)}.png"
        for _ in range(2):
            object_store.begin_upload(key, "image/png")
        assert len(list(object_store.uploads(""))) == 1
        (place,) = await desk.ask(file_of(LONG))
        (upload,) = object_store.uploads("")
        assert all(f"uploadId={upload.upload_id}" in part.url for part in place.parts)


class TestRequests:
    async def test_what_the_farm_takes_is_said_without_a_file(self, tmp_path: Path) -> None:
        rig = Rig(tmp_path)
        roots = (Root(name="show", linux="/mnt/show", windows="P:\\show"),)
        rig.settings = replace(rig.settings, bucket="films", roots=roots)
        async with rig:
            answer = await rig.batches.PrepareInputs(pb.PrepareInputsRequest())
            assert (answer.bucket, answer.bytes_max) == ("films", INPUT_BYTES_MAX)
            assert answer.part_bytes == 16 << 20
            (root,) = answer.roots
            assert (root.name, root.linux, root.windows, root.macos) == (
                "show",
                "/mnt/show",
                "P:\\show",
                "",
            )
            done = await rig.submit("a", set_fields={"image": "p:\\Show\\a.png"})
            (clip,) = (
                await rig.batches.ListClips(pb.ListClipsRequest(batch_id=done.batch.batch_id))
            ).clips
            assert clip.spec.image == "show:/a.png"

    @pytest.mark.parametrize(
        ("file", "more", "why"),
        [
            ({"sha256": "ab"}, {}, "file 1: 'ab' is no SHA-256"),
            ({"ext": "../x"}, {}, "is no file name extension"),
            ({"size_bytes": 0}, {}, "file 1 has 0 bytes"),
            ({"size_bytes": INPUT_BYTES_MAX + 1}, {}, f"1 to {INPUT_BYTES_MAX} are taken"),
            ({"size_bytes": 17 << 20}, {}, "goes in 2 parts of 16777216 bytes"),
            ({}, {"project": "nobody"}, 'there is no project "nobody"'),
        ],
    )
    async def test_what_cannot_be_is_refused(
        self, rig: Rig, file: dict, more: dict, why: str
    ) -> None:
        asked = {"sha256": "0" * 64, "size_bytes": 1, "ext": "png", **file}
        assert why in await refused(rig, pb.InputFile(**asked), **more)

    async def test_too_much_at_once_is_refused(self, rig: Rig) -> None:
        small = pb.InputFile(sha256="0" * 64, size_bytes=1, ext="png")
        assert "501 files at once" in await refused(rig, *[small] * 501)
        large = file_of(b"x", "mov")
        large.size_bytes = INPUT_BYTES_MAX
        large.part_sha256.extend(["=" * 44] * 256)
        assert "2048 parts at once" in await refused(rig, *[large] * 8)


async def refused(rig: Rig, *files: pb.InputFile, **more: str) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.batches.PrepareInputs(pb.PrepareInputsRequest(files=files, **more))
    assert reason_of(caught.value) == "BAD_REQUEST"
    return caught.value.details() or ""
