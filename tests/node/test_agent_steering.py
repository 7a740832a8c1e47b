"""Another prompt while a clip renders: from the farm to the child, into chunk and sidecar, whoever
dies on the way."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from farm.objects.s3 import S3ObjectStore
from farm.plan.policy import Policy
from heliostat.v1 import batch_service_pb2 as batch_pb
from tests.fixtures.gateway import Rig
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures
from tests.node.test_agent_link import LOSE_REPLY, Cards, SystemClock, no_fault, submit
from tests.node.test_sidecar import SCHEMA


@pytest.fixture
async def cards(
    tmp_path: Path,
    object_store: S3ObjectStore,  # noqa: F811 - the fixture
) -> AsyncIterator[Cards]:
    async with Rig(tmp_path, objects=object_store, clock=SystemClock()) as rig:
        rig.link.coordinator.policy = Policy(
            lease_seconds=600.0, exchange_seconds=1.0, backoff_seconds=0.1, backoff_seconds_max=0.2
        )
        cards = Cards(rig, tmp_path / "spool")
        yield cards
        await cards.stop_all()


async def steer(cards: Cards, prompt: str, chunk: int = 0) -> None:
    request = batch_pb.SteerRequest(
        request_id=prompt, batch_id="shots", clips=["one"], prompt=prompt, chunk=chunk,
        blend_chunks=1,
    )  # fmt: skip
    assert (await cards.rig.batches.Steer(request)).clips == 1


def recorded(cards: Cards, batch_id: str) -> int:
    return cards.rig.ledger.progress([batch_id])[batch_id].chunks_done


async def steered(cards: Cards, batch_id: str) -> list[list[tuple[int, str]]]:
    """By chunk of the finished clip, as its sidecar says: (chunk, prompt) of each change."""
    await cards.wait_until_done(batch_id)
    (row,) = cards.rig.ledger.clips(batch_id, limit=9)
    assert row.take is not None
    content: dict[str, Any] = json.loads(cards.rig.objects.get(row.take.sidecar.key))
    jsonschema.validate(content, SCHEMA)
    assert not cards.rig.ledger.clip_steers([row.clip.clip_id])
    chunks = [[(m["chunk"], m["prompt"]) for m in c["steered"]] for c in content["chunks"]]
    rows = cards.rig.ledger.chunks(row.clip.clip_id)
    assert [[(m.chunk, m.prompt) for m in each.steered] for each in rows] == chunks
    return chunks


async def test_a_clip_follows_it_from_its_next_chunk_on_and_once(cards: Cards):
    """Though every other reply of the farm is lost."""
    batch_id = await submit(cards.rig, [("one", 33 * 8)])
    cards.start("node-0", lambda n, _: LOSE_REPLY if n % 2 else "", seconds_per_chunk=0.4)
    await cards.wait_for("two chunks", lambda: recorded(cards, batch_id) >= 2)
    await steer(cards, "night")
    await steer(cards, "dawn", chunk=7)
    chunks = await steered(cards, batch_id)
    assert [prompt for _, prompt in chunks[-1]] == ["night", "dawn"]
    (first, _), (last, _) = chunks[-1]
    assert 2 <= first < 7 == last
    assert [len(marks) for marks in chunks] == [0] * first + [1] * (7 - first) + [2]


async def test_a_clip_steered_before_its_card_has_it_follows_from_its_first_chunk(cards: Cards):
    batch_id = await submit(cards.rig, [("one", 66)])
    await steer(cards, "night")
    cards.start("node-0", no_fault)
    assert await steered(cards, batch_id) == [[(0, "night")]] * 2


async def test_it_stays_when_the_card_dies_before_or_after_a_chunk_has_it(cards: Cards):
    batch_id = await submit(cards.rig, [("one", 33 * 9)])
    cards.start("node-0", no_fault, seconds_per_chunk=0.4)
    await cards.wait_for("a chunk", lambda: recorded(cards, batch_id) >= 1)
    await steer(cards, "night")

    def has_it() -> bool:
        (row,) = cards.rig.ledger.clips(batch_id, limit=9)
        return not cards.rig.ledger.clip_steers([row.clip.clip_id])

    await cards.wait_for("a chunk that has it", has_it)
    await steer(cards, "dawn", chunk=8)
    incarnation = cards.agent("node-0").incarnation
    await cards.stop("node-0")
    cards.rig.link.coordinator.lost("node-0", incarnation, "killed")
    cards.start("node-1", no_fault)
    chunks = await steered(cards, batch_id)
    (first, night), last = chunks[-1]
    assert (night, last) == ("night", (8, "dawn"))
    assert [len(marks) for marks in chunks] == [0] * first + [1] * (8 - first) + [2]


async def test_another_child_is_not_told_what_a_chunk_has(cards: Cards):
    """The child is killed once the farm has the chunk; a change for later is told the next one."""
    batch_id = await submit(cards.rig, [("one", 33 * 9)])
    await steer(cards, "night")
    await steer(cards, "dawn", chunk=8)
    cards.start("node-0", no_fault, seconds_per_chunk=0.4)
    await cards.wait_for("two chunks", lambda: recorded(cards, batch_id) >= 2)
    pid = cards.agent("node-0")._engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    chunks = await steered(cards, batch_id)
    assert chunks == [[(0, "night")]] * 8 + [[(0, "night"), (8, "dawn")]]
