"""What a clip starts from is on the node, within bounds, before any card is asked."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.objects.s3 import S3ObjectStore
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent import inputs
from node_agent.delivery import AttemptFailed
from node_agent.inputs import Inputs, fetch_inputs
from node_agent.upload import ObjectTransfer, TransferLimits
from tests.fixtures.fault_proxy import FaultKind, FaultProxy
from tests.fixtures.object_store import (  # noqa: F401 - fixtures
    embedded_store,
    fault_proxy,
    faulty_store,
    object_store,
)

BODY = b"a picture of a fox" * 1000
SHA = hashlib.sha256(BODY).hexdigest()
INPUT, STORAGE = types_pb.FAILURE_CLASS_INPUT, types_pb.FAILURE_CLASS_STORAGE


@pytest.fixture
def transfer() -> Iterator[ObjectTransfer]:
    transfer = ObjectTransfer(TransferLimits(tries_max=4, backoff_seconds_first=0.01))
    yield transfer
    transfer.close()


@pytest.fixture
def fox(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "fox.png"
    path.write_bytes(BODY)
    return path


def order(urls: dict[str, str] | None = None, **spec: str) -> node_pb.ClipOrder:
    return node_pb.ClipOrder(
        spec=types_pb.ClipSpec(**spec),
        inputs=[node_pb.InputUrl(name=name, url=url) for name, url in (urls or {}).items()],
    )


class TestPaths:
    async def test_a_file_below_an_allowed_directory(
        self, fox: Path, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        allowed = [str(tmp_path / "other"), str(fox.parent)]
        for bounds in (allowed, None):
            found = await fetch_inputs(order(image=str(fox)), tmp_path, transfer, bounds)
            assert found.path("image") == str(fox)
            assert found.files["image"].sha256 == SHA
            assert found.path("video") == ""

    async def test_a_clip_of_text_needs_none(
        self, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        assert await fetch_inputs(order(prompt="p"), tmp_path, transfer, []) == Inputs()

    @pytest.mark.parametrize("way", ["link", "dots", "link in between", "outside"])
    async def test_no_way_leads_out_of_the_allowed_directories(
        self, way: str, fox: Path, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        secret = tmp_path / "secret"
        secret.mkdir()
        (secret / "key.png").write_bytes(b"secret")
        (fox.parent / "link.png").symlink_to(secret / "key.png")
        (fox.parent / "folder").symlink_to(secret)
        place = {
            "link": fox.parent / "link.png",
            "dots": fox.parent / ".." / "secret" / "key.png",
            "link in between": fox.parent / "folder" / "key.png",
            "outside": secret / "key.png",
        }[way]
        with pytest.raises(
            AttemptFailed, match=f"is not below {fox.parent} on this node"
        ) as failed:
            await fetch_inputs(order(video=str(place)), tmp_path, transfer, [str(fox.parent)])
        assert failed.value.failure == INPUT

    async def test_an_allowed_directory_may_be_a_link_itself(
        self, fox: Path, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        (tmp_path / "mount").symlink_to(fox.parent)
        place = str(tmp_path / "mount" / "fox.png")
        found = await fetch_inputs(order(image=place), tmp_path, transfer, [f"{tmp_path}/mount"])
        assert found.path("image") == str(fox)

    async def test_no_file_is_taken_where_none_is_allowed(
        self, fox: Path, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        with pytest.raises(AttemptFailed, match="not below any directory that files are taken"):
            await fetch_inputs(order(image=str(fox)), tmp_path, transfer, [])

    async def test_what_is_no_readable_file_names_itself_and_why(
        self, fox: Path, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        (tmp_path / "circle").symlink_to(tmp_path / "circle")
        pipe = tmp_path / "pipe"
        os.mkfifo(pipe)
        for place, why in (
            (fox.with_name("cat.png"), "cannot be read on this node: No such file"),
            (fox.parent, "is no file"),
            (pipe, "is no file"),
            (tmp_path / "circle", "cannot be read on this node"),
        ):
            with pytest.raises(AttemptFailed, match=f"{place} {why}") as failed:
                await fetch_inputs(order(image=str(place)), tmp_path, transfer, None)
            assert failed.value.failure == INPUT


class TestObjects:
    async def test_an_object_is_fetched_through_faults_that_pass(
        self,
        tmp_path: Path,
        transfer: ObjectTransfer,
        faulty_store: S3ObjectStore,  # noqa: F811
        fault_proxy: FaultProxy,  # noqa: F811
    ) -> None:
        faulty_store.put("in/fox.png", BODY, "image/png")
        faults = (FaultKind.ERROR_500, FaultKind.ERROR_IN_200, FaultKind.TRUNCATE)
        for kind in faults:
            fault_proxy.inject(kind, times=1, method="GET")
        url = faulty_store.presign_get("in/fox.png")
        wanted = order({"image": url}, image="s3://heliostat/in/fox.png")
        found = await fetch_inputs(wanted, tmp_path, transfer, [])
        assert Path(found.path("image")).read_bytes() == BODY
        assert found.files["image"].sha256 == SHA
        assert fault_proxy.tries("GET") == len(faults) + 1

    async def test_an_object_that_is_not_there_is_the_clips_own_fault(
        self,
        tmp_path: Path,
        transfer: ObjectTransfer,
        object_store: S3ObjectStore,  # noqa: F811
    ) -> None:
        url = object_store.presign_get("in/cat.mp4")
        wanted = order({"video": url}, video="s3://heliostat/in/cat.mp4")
        with pytest.raises(AttemptFailed, match=r"s3://heliostat/in/cat\.mp4 cannot be") as failed:
            await fetch_inputs(wanted, tmp_path, transfer, None)
        assert failed.value.failure == INPUT
        assert list(tmp_path.iterdir()) == []

    async def test_what_is_too_large_says_the_limit(
        self,
        fox: Path,
        tmp_path: Path,
        transfer: ObjectTransfer,
        object_store: S3ObjectStore,  # noqa: F811
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(inputs, "INPUT_BYTES_MAX", len(BODY) - 1)
        object_store.put("in/fox.png", BODY, "image/png")
        url = object_store.presign_get("in/fox.png")
        for wanted in (
            order({"image": url}, image="s3://heliostat/in/fox.png"),
            order(image=str(fox)),
        ):
            with pytest.raises(AttemptFailed, match=str(len(BODY) - 1)) as failed:
                await fetch_inputs(wanted, tmp_path, transfer, None)
            assert failed.value.failure == INPUT
        assert not list(tmp_path.glob("*input*"))

    async def test_an_object_without_a_url_is_the_farms_fault(
        self, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        with pytest.raises(AttemptFailed, match="no URL came") as failed:
            await fetch_inputs(order(image="s3://heliostat/k"), tmp_path, transfer, None)
        assert failed.value.failure == STORAGE


class TestRoots:
    async def test_a_place_is_found_where_this_node_has_its_root(
        self, fox: Path, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        roots = {"show": str(tmp_path), "nas": "/nowhere"}
        found = await fetch_inputs(order(image="show:/in/fox.png"), tmp_path, transfer, [], roots)
        assert found.files["image"] == inputs.InputFile(fox, SHA)

    @pytest.mark.parametrize(
        ("place", "why"),
        [
            ("plates:/a.png", "this node has no root plates: farm-node join --root plates=DIR"),
            ("nas:/a.png", "/nowhere is no directory on this node: mount it"),
        ],
    )
    async def test_a_node_without_it_blames_itself(
        self, place: str, why: str, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        roots = {"show": str(tmp_path), "nas": "/nowhere"}
        with pytest.raises(AttemptFailed, match=f"{place}: {why}") as failed:
            await fetch_inputs(order(video=place), tmp_path, transfer, None, roots)
        assert failed.value.failure == types_pb.FAILURE_CLASS_NODE

    @pytest.mark.parametrize("path", ["../secret.png", "/etc/passwd", "link.png", "gone.png"])
    async def test_no_way_leads_out_of_it(
        self, path: str, fox: Path, tmp_path: Path, transfer: ObjectTransfer
    ) -> None:
        (tmp_path / "secret.png").write_bytes(b"secret")
        (fox.parent / "link.png").symlink_to(tmp_path / "secret.png")
        with pytest.raises(AttemptFailed, match=r"is not below|cannot be read") as failed:
            await fetch_inputs(
                order(image=f"show:/{path}"), tmp_path, transfer, None, {"show": str(fox.parent)}
            )
        assert failed.value.failure == INPUT


async def test_an_object_named_by_its_content_must_hold_it(
    object_store: S3ObjectStore,  # noqa: F811 - the fixture
    tmp_path: Path,
    transfer: ObjectTransfer,
) -> None:
    for named, is_right in ((SHA, True), ("0" * 64, False)):
        key = f"show/inputs/{named}.png"
        object_store.put(key, BODY, "image/png")
        place = f"s3://{object_store.settings.bucket}/{key}"
        wanted = order({"image": object_store.presign_get(key)}, image=place)
        if is_right:
            assert (await fetch_inputs(wanted, tmp_path, transfer, [])).files["image"].sha256 == SHA
        else:
            with pytest.raises(AttemptFailed, match="holds other bytes than were announced") as no:
                await fetch_inputs(wanted, tmp_path, transfer, [])
            assert no.value.failure == INPUT
