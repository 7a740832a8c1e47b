"""kill -9 on a farm whose cards render three clips in lockstep: each lane loses its two chunks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.chaos.conftest import SECONDS_PER_CHUNK, Stage, rendered_in_vain
from tests.chaos.test_kills import (
    CHUNKS_BEFORE,
    LOST_CHUNKS_MAX,
    check_lost_work,
    no_clip_failed,
)
from tests.fixtures.farm import running_farm

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

LANES = 3


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with running_farm(seconds_per_chunk=SECONDS_PER_CHUNK, lanes=LANES) as farm:
        stage = Stage(farm, tmp_path_factory.mktemp("failpoints"))
        batch_id = stage.submit("undisturbed, in lanes")
        farm.wait_until_ended(batch_id)
        verdict = stage.check(batch_id)
        assert rendered_in_vain(farm, verdict) == {}
        yield stage


@pytest.mark.parametrize("kind", ["child", "agent", "coordinator"])
def test_a_kill_costs_each_lane_no_more_than_a_card_of_one(stage: Stage, kind: str):
    farm = stage.farm
    batch_id = stage.submit(f"kill {kind} of lanes")
    farm.wait_for_chunks(batch_id, CHUNKS_BEFORE)
    farm.kill(kind)
    farm.wait_until_ended(batch_id)
    verdict = stage.check(batch_id)
    assert no_clip_failed(verdict)
    lost = check_lost_work(farm, verdict, cards_hit=0 if kind == "coordinator" else LANES)
    assert lost <= LOST_CHUNKS_MAX * LANES
    together = {chunk.lanes for chunks in verdict.chunks.values() for chunk in chunks}
    assert max(together) > 1, "no chunks were rendered in lockstep"
