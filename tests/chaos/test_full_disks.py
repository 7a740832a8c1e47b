"""Disks that are full for a while: nothing is lost, and all goes on when there is room again."""

from __future__ import annotations

import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing

import pytest
import urllib3

from tests.chaos.conftest import SECONDS_PER_CHUNK, Stage
from tests.chaos.test_kills import no_clip_failed
from tests.fixtures.farm import RealFarm
from tests.fixtures.small_disk import SmallDisk, require_mount, small_disk

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

DISKS = {"spool": 16, "store": 16, "objects": 64}
"""Folder of the data directory → megabytes of its disk: the cards' files, the ledger, the takes."""


@pytest.fixture(scope="module")
def disks() -> dict[str, SmallDisk]:
    return {}


@pytest.fixture(scope="module")
def stage(disks: dict[str, SmallDisk], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    require_mount()
    farm = RealFarm(seconds_per_chunk=SECONDS_PER_CHUNK)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, farm.data_dir, ignore_errors=True)
        for name, megabytes in DISKS.items():
            disks[name] = stack.enter_context(small_disk(farm.data_dir / name, megabytes))
        stack.callback(farm.close)
        farm.up()
        farm.wait_until_whole()
        stage = Stage(farm, tmp_path_factory.mktemp("failpoints"))
        stage.take_hashes()
        yield stage


def test_a_spool_that_is_full_keeps_chunks_waiting(stage: Stage, disks: dict[str, SmallDisk]):
    """Each card renders its two chunks ahead and waits with them."""
    disks["spool"].fill()
    try:
        batch_id = waiting_for_room(stage)
    finally:
        disks["spool"].free()
    finish(stage, batch_id)


def waiting_for_room(stage: Stage) -> str:
    """A batch of which each card has begun what it may, and recorded nothing."""
    batch_id = stage.submit("full spool")

    def each_waits() -> bool:
        ours = {row.clip.clip_id for row in stage.farm.clips(batch_id)}
        return sum(n for key, n in stage.farm.begun().items() if key[0] in ours) == 4

    stage.farm.wait_for("two chunks begun on each card", each_waits)
    assert stage.farm.ledger.progress([batch_id])[batch_id].chunks_done == 0
    return batch_id


def test_the_ledgers_disk_is_full_in_mid_batch(stage: Stage, disks: dict[str, SmallDisk]):
    """No commit goes through, and the coordinator says why."""
    farm = stage.farm
    batch_id = stage.submit("full store")
    farm.wait_for_chunks(batch_id, 6)
    shorten_log(farm)
    disks["store"].fill()
    try:
        farm.wait_for("a word of the full disk", lambda: farm.said("disk is full"))
    finally:
        disks["store"].free()
    finish(stage, batch_id)


def test_the_object_stores_disk_is_full_in_mid_batch(stage: Stage, disks: dict[str, SmallDisk]):
    """Uploads are tried again until there is room; what is finished is kept."""
    farm = stage.farm
    batch_id = stage.submit("full objects")
    farm.wait_for_chunks(batch_id, 6)
    before = uploads_retried(farm)
    disks["objects"].fill()
    try:
        farm.wait_for("uploads that are tried again", lambda: uploads_retried(farm) > before)
    finally:
        disks["objects"].free()
    finish(stage, batch_id)


def uploads_retried(farm: RealFarm) -> float:
    """By all cards, as the farm's metrics say."""
    url = f"http://127.0.0.1:{farm.settings.port_of('http')}/metrics"
    text = urllib3.request("GET", url).data.decode()
    return sum(map(float, re.findall(r"(?m)^heliostat_card_upload_retries_total\S* (\S+)$", text)))


def shorten_log(farm: RealFarm) -> None:
    """Have the ledger's log begin anew: as long as it was, commits would find room within it."""
    with closing(sqlite3.connect(farm.settings.store_path, timeout=60)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def finish(stage: Stage, batch_id: str) -> None:
    stage.farm.wait_until_ended(batch_id)
    assert no_clip_failed(stage.check(batch_id))
