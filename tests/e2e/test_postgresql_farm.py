"""A whole farm with its ledger in PostgreSQL, whose server is killed under it."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.domain.clip import ClipState
from tests.e2e.test_submit_to_takes import COLUMNS, write_csv
from tests.fixtures.farm import RealFarm, running_farm
from tests.fixtures.oracle import check_farm
from tests.fixtures.postgresql import PostgresServer, running

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

CLIPS = 8


@pytest.fixture(scope="module")
def mortal() -> Iterator[PostgresServer]:
    with running(durable=True) as server:
        yield server


@pytest.fixture(scope="module")
def farm(mortal: PostgresServer) -> Iterator[RealFarm]:
    url = mortal.url(mortal.create())
    with running_farm(seconds_per_chunk=0.5, ledger=url) as farm:
        yield farm


def test_a_batch_outlives_its_database_and_comes_back_from_a_backup(
    farm: RealFarm, mortal: PostgresServer, tmp_path: Path
):
    rows = [(f"c{n}", f"prompt {n}", "99", "64x64", "24", str(n), "s") for n in range(CLIPS)]
    file = write_csv(tmp_path / "shots.csv", rows, COLUMNS)
    answer = json.loads(farm.cli("submit", file, "--json").stdout)
    batch_id = answer["batch"]["batch_id"]
    farm.wait_for("a first take", lambda: farm.ledger.clip_counts()[ClipState.DONE] > 0)
    told = json.loads(farm.cli("backup", tmp_path / "ledger.zip", "--json").stdout)
    assert told["tables"]["clips"] == CLIPS
    mortal.kill()
    mortal.start()
    farm.cli("watch", batch_id)
    check_farm(farm, batch_id, submitted=CLIPS)
    assert not farm.settings.store_path.exists()
    refused = farm.cli("restore", tmp_path / "ledger.zip", "--replace", code=1)
    assert "farm down" in refused.stderr
    farm.down()

    database = farm.settings.ledger
    mortal.drop(database)
    mortal.execute(f"CREATE DATABASE {database.rpartition('/')[2].partition('?')[0]}")
    refused = farm.cli("up", code=1)
    assert "holds no ledger, and this farm had one" in refused.stderr
    farm.cli("restore", tmp_path / "ledger.zip")
    farm.cli("up")
    farm.cli("watch", batch_id)
    assert farm.ledger.clip_counts()[ClipState.DONE] == CLIPS
    purged = json.loads(farm.cli("purge", "--project", "default", "--yes", "--json").stdout)
    assert (purged["clips"], purged["objects_left"], purged["batches_left"]) == (CLIPS, 0, 0)
    assert list(farm.objects.list("default/")) == []
