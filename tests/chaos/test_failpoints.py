"""kill -9 at named points of the commit path: whoever dies there, nothing is lost or done twice.

One farm, one batch for each wave; a wave arms a point of each kind of process. HELIOSTAT_CHAOS_SEED
(random) says which points go together, and at which pass a process dies. Afterwards the oracle
holds, every MP4 equals the undisturbed one, and no card lost more than its two chunks.
"""

from __future__ import annotations

import itertools
import os
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.conftest import Stage, tell_soak
from tests.chaos.test_kills import check_lost_work, no_clip_failed

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

SEED = os.environ.get("HELIOSTAT_CHAOS_SEED") or str(random.SystemRandom().randrange(10**9))
PASSES_MAX = 3

COORDINATOR = (
    "coordinator.publish.before",
    "coordinator.publish.after",
    "coordinator.commit.before",
    "coordinator.commit.after",
    "ledger.commit.middle",
)
GATEWAY = (
    "gateway.submit.staged",
    "gateway.submit.published",
    "gateway.exchange.verified",
    "gateway.exchange.answered",
    "gateway.exchange.granted",
)
AGENT = (
    "agent.object.uploaded",
    "agent.chunk.uploaded",
    "agent.take.uploaded",
    "agent.exchange.answered",
)
CHILD = ("child.chunk.written", "child.chunk.told")
ONCE = re.compile(r"\.(publish|submit)\.")
"""Points that a submission passes, once."""


def waves(dice: random.Random) -> Iterator[dict[str, int]]:
    """Points that are armed together → at which pass whoever passes them dies."""
    shuffled = [dice.sample(points, len(points)) for points in (COORDINATOR, GATEWAY, AGENT, CHILD)]
    # Whoever dies over a submission leaves it to a second try, which may miss the other's point.
    shuffled[0].sort(key=lambda point: ONCE.search(point) is not None)
    shuffled[1].sort(key=lambda point: ONCE.search(point) is None)
    for together in itertools.zip_longest(*shuffled):
        yield {
            point: 1 if ONCE.search(point) else dice.randint(1, PASSES_MAX)
            for point in together
            if point is not None
        }


WAVES = list(waves(random.Random(SEED)))


@pytest.mark.parametrize("number", range(len(WAVES)), ids=lambda number: f"wave {number + 1}")
def test_whoever_dies_at_a_named_point_loses_nothing(stage: Stage, number: int):
    farm, wave = stage.farm, WAVES[number]
    print(f"to repeat: HELIOSTAT_CHAOS_SEED={SEED}, wave {number + 1}: {wave}")
    farm.wait_until_whole()
    for point, passes in wave.items():
        stage.arm(point, passes)
    batch_id = stage.submit(f"failpoints {SEED}, wave {number + 1}")
    farm.wait_until_ended(batch_id)
    missed = [point for point in wave if not stage.was_hit(point)]
    assert not missed, f"nobody died at {missed}\n{farm.diagnosis()}"
    verdict = stage.check(batch_id)
    assert no_clip_failed(verdict)
    check_lost_work(farm, verdict, cards_hit=sum(p.startswith(("agent", "child")) for p in wave))
    tell_soak({"clips": len(verdict.clips), **{f"failpoint {point}": 1 for point in wave}})


def test_every_failpoint_is_tried():
    """A point that is added to the code gets into a wave."""
    root = Path(__file__).parents[2]
    sources = [*root.glob("farm/**/*.py"), *root.glob("node_agent/**/*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    calls = re.findall(r"\breach\(([^)]*\)?[^)]*)\)$", text, re.MULTILINE)
    placed = {point for call in calls for point in re.findall(r'"(\w+\.\w+\.\w+)"', call)}
    assert placed == {*COORDINATOR, *GATEWAY, *AGENT, *CHILD}
