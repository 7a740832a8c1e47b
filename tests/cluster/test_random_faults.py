"""Faults at random moments of random machines (`make soak`; not part of every run).

HELIOSTAT_CLUSTER_FAULTS is how many, HELIOSTAT_CHAOS_SEED repeats a run. Batches follow each other
until the last fault is over: there is work before each fault, and when it is over. Then the oracle
looks at each of them.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from collections.abc import Callable

import pytest

from farm.domain.clip import ENDED, ClipState
from tests.chaos.conftest import tell_soak
from tests.cluster.conftest import ROWS, Stage
from tests.fixtures.cluster import Node
from tests.fixtures.oracle import check_farm

pytestmark = pytest.mark.chaos

FAULTS = int(os.environ.get("HELIOSTAT_CLUSTER_FAULTS", "0"))
SEED = os.environ.get("HELIOSTAT_CHAOS_SEED") or str(random.SystemRandom().randrange(10**9))
PAUSE_SECONDS = (0.5, 8.0)
ROUNDS = 3
CLIPS = ROUNDS * len(ROWS)
"""Of a batch."""
AWAY_SECONDS = (1.0, 70.0)
"""Shorter than a health check's patience, and longer than a lease."""


@pytest.mark.skipif(not FAULTS, reason="HELIOSTAT_CLUSTER_FAULTS sets how many: make soak")
@pytest.mark.timeout(600 + 240 * FAULTS)
def test_faults_at_random(stage: Stage):
    dice, farm, done = random.Random(SEED), stage.farm, []
    batches: list[str] = []

    def open_batch() -> None:
        clips = farm.ledger.progress(batches[-1:])[batches[-1]].clips if batches else {}
        if not any(count for state, count in clips.items() if state not in ENDED):
            batches.append(stage.submit(f"random {SEED} {len(batches)}", ROUNDS))

    try:
        while len(done) < FAULTS:
            open_batch()
            time.sleep(dice.uniform(*PAUSE_SECONDS))  # the moment of the next fault
            name = dice.choice(list(FAULT_KINDS))
            node = dice.choice(farm.nodes)
            done.append(f"{name} {node.name}")
            FAULT_KINDS[name](stage, node, dice)
            open_batch()
            farm.wait_until_whole()
        for batch_id in batches:
            farm.wait_until_ended(batch_id, 600)
        for batch_id in batches:
            verdict = check_farm(farm, batch_id, submitted=CLIPS)
            assert verdict.states() == {ClipState.DONE: CLIPS}
    except BaseException:
        print(f"to repeat: HELIOSTAT_CHAOS_SEED={SEED} HELIOSTAT_CLUSTER_FAULTS={FAULTS}")
        print(f"done, in order: {done}")
        raise
    faults = Counter(f"fault {each.split()[0]}" for each in done)
    tell_soak({"clips": len(batches) * CLIPS, **faults})
    stage.tell(f"seed {SEED}: {len(done)} faults over {len(batches)} batches: {', '.join(done)}")


def _away(dice: random.Random) -> None:
    time.sleep(dice.uniform(*AWAY_SECONDS))  # how long the fault lasts


def _raylet(stage: Stage, node: Node, dice: random.Random) -> None:
    node.machine.kill("raylet")


def _power(stage: Stage, node: Node, dice: random.Random) -> None:
    node.power_cut()
    _away(dice)
    node.machine.switch_on()
    node.join()


def _stopped(stage: Stage, node: Node, dice: random.Random) -> None:
    node.machine.stop()
    _away(dice)
    node.machine.go_on()


def _unplugged(stage: Stage, node: Node, dice: random.Random) -> None:
    node.machine.unplug()
    _away(dice)
    node.machine.plug_in()


def _unheard(stage: Stage, node: Node, dice: random.Random) -> None:
    node.machine.lose_way_to(stage.farm.head.address)
    _away(dice)
    node.machine.find_way_to(stage.farm.head.address)


def _head(stage: Stage, node: Node, dice: random.Random) -> None:
    stage.farm.kill_head()
    stage.farm.restart_head()


def _coordinator(stage: Stage, node: Node, dice: random.Random) -> None:
    stage.farm.kill("coordinator")


FAULT_KINDS: dict[str, Callable[[Stage, Node, random.Random], None]] = {
    "raylet": _raylet,
    "power": _power,
    "stopped": _stopped,
    "unplugged": _unplugged,
    "unheard": _unheard,
    "head": _head,
    "coordinator": _coordinator,
}
