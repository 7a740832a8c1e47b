"""The ledger's database server dies under a working farm, and comes back."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.conftest import SECONDS_PER_CHUNK, Stage
from tests.chaos.test_kills import CHUNKS_BEFORE, check_lost_work, no_clip_failed
from tests.fixtures.farm import running_farm
from tests.fixtures.postgresql import PostgresServer, running

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with running(durable=True) as server:
        yield server


@pytest.fixture(scope="module")
def stage(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    ledger = {"HELIOSTAT_LEDGER": server.url(server.create())}
    with running_farm(ledger, seconds_per_chunk=SECONDS_PER_CHUNK) as farm:
        stage = Stage(farm, tmp_path_factory.mktemp("failpoints"))
        stage.take_hashes()
        yield stage


def test_the_database_server_is_killed_and_started_again(stage: Stage, server: PostgresServer):
    """Cards render on meanwhile and lose nothing: what they report is asked for again."""
    farm = stage.farm
    batch_id = stage.submit("kill PostgreSQL")
    farm.wait_for_chunks(batch_id, CHUNKS_BEFORE)
    server.kill()
    farm.wait_for("a word of the dead server", lambda: farm.said("OperationalError"))
    server.start()
    farm.wait_until_ended(batch_id)
    verdict = stage.check(batch_id)
    assert no_clip_failed(verdict)
    check_lost_work(farm, verdict, cards_hit=0)
