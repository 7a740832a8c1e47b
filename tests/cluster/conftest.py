"""A farm over four machines: a head and three nodes, one of them with two cards."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from farm.objects.embedded import EmbeddedStore
from tests.chaos.conftest import rendered_in_vain
from tests.conftest import require_program
from tests.fixtures.cluster import ClusterFarm, running_cluster
from tests.fixtures.farm import event_line
from tests.fixtures.network import require_machines
from tests.fixtures.object_store import embedded_store  # noqa: F401 - a fixture
from tests.fixtures.oracle import Verdict, check_farm

SECONDS_PER_CHUNK = 0.5
ROWS = [
    {
        "id": f"clip {n}",
        "prompt": f"the {n}th",
        "frames": str(165 - n),
        "size": "64x64",
        "seed": str(n),
    }
    for n in range(10)
]
"""Ten clips of five chunks."""
LOST_CHUNKS_MAX = 2
"""Of each card that is hit: the chunk in render and the one in flight."""


@dataclass
class Stage:
    """The farm, the hashes of its takes when nothing is done to it, and what was measured."""

    farm: ClusterFarm
    join_seconds: float = 0.0
    """From `farm-node join` to the first recorded chunk."""
    hashes: dict[str, str] = field(default_factory=dict)
    figures: list[str] = field(default_factory=list)

    def submit(self, name: str, rounds: int = 1) -> str:
        """The same clips as always, under another batch's name; more rounds are more like them."""
        more = [
            {**row, "id": f"{row['id']}, round {number}"}
            for number in range(2, rounds + 1)
            for row in ROWS
        ]
        return self.farm.submit_patiently([*ROWS, *more], name)

    def under_way(self, name: str, rounds: int = 1) -> str:
        """A batch of which all cards have something in hand, and some chunks are recorded."""
        batch_id = self.submit(name, rounds)
        self.farm.wait_for_chunks(batch_id, 8, leased=4)
        return batch_id

    def check(self, batch_id: str, *, cards_hit: int, rounds: int = 1) -> Verdict:
        """Every clip is done and as it should be; what was lost is what may be lost."""
        self.farm.wait_until_ended(batch_id)
        self.check_ledger()
        clips = rounds * len(ROWS)
        verdict = check_farm(self.farm, batch_id, submitted=clips)
        assert len(verdict.takes) == clips, f"{verdict.states()}\n{self.farm.diagnosis()}"
        hashes = {n: hashlib.sha256(take).hexdigest() for n, take in verdict.takes.items()}
        self.hashes = self.hashes or hashes
        assert self.hashes.items() <= hashes.items()
        vain = rendered_in_vain(self.farm, verdict)
        assert sum(vain.values()) <= LOST_CHUNKS_MAX * cards_hit, _told(vain, verdict)
        return verdict

    def check_ledger(self) -> None:
        """The coordinator runs on the head, and nowhere else was a ledger ever made."""
        farm = self.farm
        running = {process.pid for process in farm.processes("coordinator")}
        assert running <= {process.pid for process in farm.head.processes()}
        name = farm.settings.store_path.name
        made = [where for where, _, files in os.walk(farm.network.directory) if name in files]
        assert not made, "a node has a ledger"

    def tell(self, line: str) -> None:
        """A figure for the reader of the run."""
        self.figures.append(line)
        print(line)


def _told(vain: Mapping[tuple[str, int], int], verdict: Verdict) -> str:
    """What was rendered in vain, and all that happened to those clips."""
    hit = {clip_id for clip_id, _ in vain}
    events = (event_line(event) for event in verdict.events if event.clip_id in hit)
    return "\n".join([str(vain), *events])


@pytest.fixture(scope="package")
def stage(embedded_store: EmbeddedStore) -> Iterator[Stage]:  # noqa: F811
    require_machines()
    require_program("redis-server")
    directory = Path(tempfile.mkdtemp(prefix="heliostat-cluster-"))
    try:
        with running_cluster(directory, embedded_store, pace=SECONDS_PER_CHUNK, redis=True) as farm:
            stage = Stage(farm)
            yield _joined(stage)
            print("\n" + "\n".join(stage.figures))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _joined(stage: Stage) -> Stage:
    """The first node joins while a batch waits for cards; then come the others."""
    farm = stage.farm
    batch_id = stage.submit("nobody has touched it")
    nodes = [farm.add_node(cards=cards) for cards in (1, 1, 2)]
    at = time.time()
    nodes[0].join()
    farm.wait_for_chunks(batch_id, 1, leased=1)
    first = next(event for event in farm.events(batch_id) if event.kind == "chunk")
    stage.join_seconds = first.at - at
    for node in nodes[1:]:  # each by itself: Ray gives up starting where it takes more than 15 s
        node.join()
        farm.wait_for(f"{node.name} in the farm", lambda: "joined" in node.said())  # noqa: B023
    stage.check(batch_id, cards_hit=0)
    return stage
