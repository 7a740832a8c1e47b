"""An object store that stumbles in every known way: takes come late, and are whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.chaos.conftest import ROWS, Stage
from tests.chaos.test_kills import no_clip_failed
from tests.fixtures.farm import running_farm
from tests.fixtures.fault_proxy import ALL_FAULTS, FaultKind, FaultProxy
from tests.fixtures.object_store import EmbeddedStore, embedded_store

__all__ = ["embedded_store"]

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

RATE = 0.25
"""Share of the requests that meet a fault."""
FAULT_SECONDS = 0.5


@dataclass
class Scene:
    """A farm whose way to its object store leads through a proxy."""

    stage: Stage
    proxy: FaultProxy

    def check(self, batch_id: str, *kinds: FaultKind) -> None:
        """Each of these faults was met, and changed nothing."""
        self.stage.farm.wait_until_ended(batch_id)
        met = {request.fault for request in self.proxy.seen}
        self.proxy.reset()
        assert met >= set(kinds)
        assert no_clip_failed(self.stage.check(batch_id))


@pytest.fixture(scope="module")
def scene(
    embedded_store: EmbeddedStore, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    keys = {
        "HELIOSTAT_S3_ACCESS_KEY": embedded_store.settings.access_key,
        "HELIOSTAT_S3_SECRET_KEY": embedded_store.settings.secret_key,
    }
    with (
        FaultProxy(embedded_store.settings.endpoint) as proxy,
        running_farm(
            keys, s3_endpoint=proxy.endpoint, s3_bucket="stumbling", seconds_per_chunk=0.1
        ) as farm,
    ):
        stage = Stage(farm, tmp_path_factory.mktemp("failpoints"), rows=ROWS[-3:])
        stage.take_hashes()
        yield Scene(stage, proxy)


@pytest.mark.parametrize("kind", ALL_FAULTS)
def test_a_fault_of_the_store_costs_time_only(scene: Scene, kind: FaultKind):
    scene.proxy.disturb(RATE, [kind], seed=7, seconds=FAULT_SECONDS)
    scene.check(scene.stage.submit(f"store: {kind}"), kind)


def test_a_clip_goes_on_elsewhere_while_the_store_stumbles(scene: Scene):
    """Whoever goes on with a dead card's clip fetches its chunks by the same faulty way."""
    farm = scene.stage.farm
    scene.proxy.disturb(RATE, ALL_FAULTS, seed=7, seconds=FAULT_SECONDS)
    batch_id = scene.stage.submit("store: everything, and a kill")
    farm.wait_for_chunks(batch_id, 2)
    farm.kill("agent")
    scene.check(batch_id)
