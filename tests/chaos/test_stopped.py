"""Processes that are stopped for longer than a lease, and go on as if no time had passed."""

from __future__ import annotations

import pytest

from farm.domain.clip import EventKind
from tests.chaos.conftest import Stage
from tests.chaos.test_kills import CHUNKS_BEFORE, no_clip_failed

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]


def test_an_agent_and_a_child_are_stopped_for_longer_than_a_lease(stage: Stage):
    """The agent loses its clips, and drops them when it wakes; the child's agent goes on
    speaking for it, so that its clip waits for it."""
    farm = stage.farm
    batch_id = stage.submit("stopped")
    farm.wait_for_chunks(batch_id, CHUNKS_BEFORE)
    agent, other = farm.processes("agent")
    (child,) = (child for child in farm.processes("child") if child.ppid() == other.pid)

    def losses() -> int:
        return sum(event.kind == EventKind.LOST for event in farm.events(batch_id))

    agent.suspend()
    child.suspend()
    try:
        farm.wait_for("the end of the agent's leases", losses)
    finally:
        agent.resume()
        child.resume()
    farm.wait_until_ended(batch_id)
    verdict = stage.check(batch_id)
    assert no_clip_failed(verdict)
    lost = [event for event in verdict.events if event.kind == EventKind.LOST]
    assert all("not heard of for" in event.detail for event in lost)
    assert len({event.card_id for event in lost}) == 1, "only that of the stopped agent"
    assert not verdict.kinds()[EventKind.FAIL]
