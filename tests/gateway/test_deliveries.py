"""A gateway brings takes to a mounted folder: whole, once, and nowhere else."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from farm.gateway.server import Gateway
from farm.gateway.settings import GatewaySettings
from farm.objects.s3 import S3ObjectStore
from heliostat.v1 import batch_service_pb2 as batch_pb
from tests.fixtures.gateway import TOKEN, Rig, submission
from tests.gateway.test_reviews import ROWS, finished, review


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.05)


def takes(directory: Path) -> list[dict[str, object]]:
    try:
        return json.loads((directory / "manifest.json").read_text())["takes"]
    except FileNotFoundError:
        return []


async def amend(rig: Rig, directory: str) -> None:
    """Have the batch delivered; straight into the ledger, for a batch that has ended."""
    with rig.store._engine.begin() as connection:
        connection.exec_driver_sql("UPDATE batches SET deliver_to = ?", (directory,))


def rig_at(tmp_path: Path, object_store: S3ObjectStore) -> Rig:
    (tmp_path / "mount").mkdir()
    (tmp_path / "rig").mkdir()
    settings = GatewaySettings(api_token=TOKEN, deliveries=(tmp_path / "mount",))
    return Rig(tmp_path / "rig", objects=object_store, settings=settings)


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("farm.gateway.deliveries.STEP_SECONDS", 0.05)


@pytest.mark.usefixtures("_quick")
class TestDeliveries:
    async def test_takes_are_brought_as_they_land_and_what_is_said_of_them(
        self, tmp_path: Path, object_store: S3ObjectStore
    ) -> None:
        directory = tmp_path / "mount" / "show" / "shots"
        async with rig_at(tmp_path, object_store) as rig:
            await finished(rig, done=1)
            await amend(rig, str(directory))
            await until(lambda: len(takes(directory)) == 1)
            (entry,) = takes(directory)
            data = (directory / str(entry["file"])).read_bytes()
            assert hashlib.sha256(data).hexdigest() == entry["sha256"]
            assert entry["columns"]["Sequence"] in ("sq0", "sq1")
            await rig.batches.Review(review(str(entry["clip"]), verdict=2, note="dark"))
            await until(lambda: takes(directory)[0]["review"] == "rejected")
            assert takes(directory)[0]["note"] == "dark"

    async def test_a_gateway_that_starts_anew_goes_on_by_the_manifest(
        self, tmp_path: Path, object_store: S3ObjectStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory = tmp_path / "mount" / "shots"
        async with rig_at(tmp_path, object_store) as rig:
            await finished(rig, done=2)
            await amend(rig, str(directory))
            await until(lambda: len(takes(directory)) == 2)
            await rig.stop_gateway()
            gone = directory / str(takes(directory)[0]["file"])
            kept = directory / str(takes(directory)[1]["file"])
            gone.unlink()
            before = kept.stat()
            await rig.start_gateway()
            await until(gone.exists)
            assert kept.stat() == before

    async def test_two_gateways_bring_each_take_once(
        self, tmp_path: Path, object_store: S3ObjectStore
    ) -> None:
        directory = tmp_path / "mount" / "shots"
        async with rig_at(tmp_path, object_store) as rig:
            await finished(rig, done=4)
            settings = replace(rig.settings, grpc_port=0)
            second = Gateway(settings, rig.ledger, object_store, rig.link)
            await second.start()
            try:
                await amend(rig, str(directory))
                await until(lambda: len(takes(directory)) == 4)
            finally:
                await second.stop(0.2)
            brought = [
                gateway._registry.get_sample_value("heliostat_delivery_takes_total")
                for gateway in (rig.gateway, second)
            ]
            assert sum(brought) == 4

    async def test_what_is_outside_is_refused_at_submission(
        self, tmp_path: Path, object_store: S3ObjectStore
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        async with rig_at(tmp_path, object_store) as rig:
            mount = tmp_path / "mount"
            (mount / "out").symlink_to(tmp_path / "elsewhere")
            for wrong in (tmp_path / "elsewhere", mount / "out" / "x", mount / ".." / "x", "shots"):
                answer = await rig.batches.Submit(submission(ROWS, deliver_to=str(wrong)))
                (problem,) = answer.problems
                assert problem.column == "--deliver-to"
                assert "cannot be delivered to" in problem.what
                assert f"name a folder in {mount}" in problem.remedy
            answer = await rig.batches.Submit(submission(ROWS, deliver_to=str(mount / "a")))
            assert answer.batch.deliver_to == str(mount / "a")
            answer = await rig.batches.Submit(submission(ROWS, deliver_to=str(mount / "a")))
            assert "where those of batch" in answer.problems[0].what
            request = batch_pb.AmendRequest(
                request_id="a", batch_id=answer.batch.batch_id or "shots", deliver_to="/etc"
            )
            with pytest.raises(Exception, match="outside of what the farm may write"):
                await rig.batches.Amend(request)

    async def test_a_farm_without_a_directory_says_how_to_get_one(self, rig: Rig) -> None:
        answer = await rig.batches.Submit(submission(ROWS, deliver_to="/mnt/show"))
        (problem,) = answer.problems
        assert "the farm has no directory for that" in problem.what
        assert "set `deliveries`" in problem.remedy
