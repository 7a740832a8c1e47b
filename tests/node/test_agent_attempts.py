"""How attempts end before their clips do: at a limit, when asked, and when a card is in trouble.

The coordinator decides when; here the test completes its answers, as a plan that says so would.
"""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from farm.domain.clip import ClipState, EventKind
from farm.objects.s3 import S3ObjectStore
from farm.plan.policy import Policy
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.engine import RESTING
from node_agent.progress import StallLimits
from node_agent.render.child import ChildOptions
from tests.fixtures.acting_child import GONE_WHEN_TOLD, SHORT_OF_MEMORY, act
from tests.fixtures.gateway import Rig
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures
from tests.node.test_agent_link import Cards, SystemClock, check, no_fault, submit


class Directed:
    """An agent, and what a plan tells it beside what the coordinator does."""

    def __init__(self, cards: Cards, **settings: Any) -> None:
        self._cards = cards
        self._link = cards.start("node-0", no_fault, **settings)
        self.agent = cards.agent("node-0")
        self.agent._link = self
        self.standing: types_pb.Standing.ValueType = types_pb.STANDING_OPEN
        self.yields: set[tuple[str, int]] = set()
        """Attempts that are to be given up."""
        self.limits: dict[tuple[str, int], int] = {}
        """`chunks_max` by clip and attempt."""

    async def exchange(self, raw: bytes) -> bytes:
        request = node_pb.ExchangeRequest.FromString(raw)
        stands_aside = self.standing != types_pb.STANDING_OPEN
        if stands_aside:
            request.capacity = 0
        raw = await self._link.exchange(request.SerializeToString())
        response = node_pb.ExchangeResponse.FromString(raw)
        response.standing = self.standing
        for lease in response.wanted:
            lease.yield_asked = stands_aside or (lease.clip_id, lease.attempt) in self.yields
            lease.chunks_max = self.limits.get((lease.clip_id, lease.attempt), 0)
        return response.SerializeToString()

    @property
    def said(self) -> node_pb.ExchangeRequest:
        """What the agent said last."""
        requests = self._link.requests
        return node_pb.ExchangeRequest.FromString(requests[-1] if requests else b"")

    def started(self) -> set[str]:
        return {held.clip_id for held in self.said.held if held.started}

    @property
    def rendered(self) -> int:
        return self.agent._counters.chunks_rendered


@pytest.fixture
async def cards(
    tmp_path: Path,
    object_store: S3ObjectStore,  # noqa: F811 - the fixture
) -> AsyncIterator[Cards]:
    async with Rig(tmp_path, objects=object_store, clock=SystemClock()) as rig:
        rig.link.coordinator.policy = Policy(
            lease_seconds=60.0, exchange_seconds=1.0, backoff_seconds=0.1, backoff_seconds_max=0.2
        )
        cards = Cards(rig, tmp_path / "spool")
        yield cards
        await cards.stop_all()


def kinds(cards: Cards, clip_id: str) -> Counter[str]:
    """How often what happened to a clip."""
    events = cards.rig.ledger.events(after=0, limit=10_000)
    return Counter(event.kind for event in events if event.clip_id == clip_id)


def first_attempt(cards: Cards, clip_id: str) -> list[str]:
    """What happened to a clip until it was given up."""
    events = cards.rig.ledger.events(after=0, limit=10_000)
    happened = [event.kind for event in events if event.clip_id == clip_id]
    return happened[: happened.index(EventKind.YIELD)]


def details(cards: Cards, kind: EventKind) -> list[str]:
    events = cards.rig.ledger.events(after=0, limit=10_000)
    return [event.detail for event in events if event.kind == kind]


@pytest.mark.parametrize("chunks", [1, 3])
async def test_a_first_look_is_one_chunk_and_nothing_in_vain(cards: Cards, chunks: int):
    """The next attempt goes on behind it, to the end; a clip of one chunk only lacks its take."""
    farm = Directed(cards)
    batch_id = await submit(cards.rig, [("one", 33 * chunks)])
    clip_id = f"{batch_id}-00001"
    farm.limits[clip_id, 1] = 1
    await cards.wait_until_done(batch_id)
    happened = await check(cards, batch_id, 1)
    assert Counter(happened)[EventKind.YIELD] == 1
    assert Counter(happened)[EventKind.CHUNK] == chunks == farm.rendered
    yielded = happened.index(EventKind.YIELD)
    assert happened[:yielded].count(EventKind.CHUNK) == 1, "chunk 1 was looked at first"


async def test_an_attempt_that_has_its_chunks_already_begins_none(cards: Cards):
    farm = Directed(cards)
    batch_id = await submit(cards.rig, [("one", 66)])
    clip_id = f"{batch_id}-00001"
    farm.limits |= {(clip_id, 1): 1, (clip_id, 2): 1}
    await cards.wait_until_done(batch_id)
    happened = Counter(await check(cards, batch_id, 1))
    assert happened[EventKind.YIELD] == 2
    assert happened[EventKind.CHUNK] == 2 == farm.rendered
    told = farm.agent.request().telemetry
    assert told.busy_seconds > 0
    assert told.idle_seconds > 0
    assert told.encode_seconds > 0
    assert told.passes == 0, "a test card denoises nothing"


async def test_a_yield_is_through_within_a_chunk_and_asks_one_lane_only(cards: Cards):
    """Two lanes and a clip that waits: the one asked leaves, and so does the one that waits."""
    child = ChildOptions(renderer="testcard", lanes=2, seconds_per_chunk=0.5)
    farm = Directed(cards, child=child)
    await submit(cards.rig, [(f"clip {n}", 33 * 40) for n in range(8)])
    await cards.wait_for("a card full of clips", lambda: len(farm.said.held) == 3)
    await cards.wait_for("both lanes", lambda: len(farm.started()) == 2)
    one, other = sorted(farm.started())
    (waiting,) = {held.clip_id for held in farm.said.held} - {one, other}
    before = kinds(cards, one)["chunk"]
    farm.yields = {(one, 1), (waiting, 1)}
    await cards.wait_for(
        "the yields", lambda: all(kinds(cards, c)["yield"] for c in (one, waiting))
    )
    assert first_attempt(cards, waiting).count("chunk") == 0
    # those already made and on their way, the one in render, and no other
    assert first_attempt(cards, one).count("chunk") <= before + child.unrecorded_max * child.lanes
    chunks = kinds(cards, other)["chunk"]
    await cards.wait_for("the other goes on", lambda: kinds(cards, other)["chunk"] > chunks)
    assert kinds(cards, other)["yield"] == 0


async def test_an_owners_pause_empties_the_card_and_costs_no_chunk(cards: Cards):
    farm = Directed(cards, child=ChildOptions(renderer="testcard", seconds_per_chunk=0.2))
    batch_id = await submit(cards.rig, [("one", 33 * 6), ("two", 33)])
    clip_id = f"{batch_id}-00001"
    await cards.wait_for("a chunk", lambda: kinds(cards, clip_id)["chunk"])
    farm.standing = types_pb.STANDING_PAUSED
    await cards.wait_for("a free GPU", lambda: farm.said.card.condition == RESTING)
    assert farm.agent._engine.pid is None
    assert not farm.said.held
    farm.standing = types_pb.STANDING_OPEN
    await cards.wait_until_done(batch_id)
    happened = Counter(await check(cards, batch_id, 2))
    assert happened[EventKind.CHUNK] == 7 == farm.rendered
    assert happened[EventKind.FAIL] == happened[EventKind.LOST] == 0


async def test_a_clip_without_memory_is_tried_once_more_with_less(
    cards: Cards, monkeypatch: pytest.MonkeyPatch
):
    """Both clips of the lanes go on behind their first chunks, and the farm hears of no failure."""
    act(monkeypatch, SHORT_OF_MEMORY.format(lanes=1, chunk=1))
    farm = Directed(cards, child=ChildOptions(renderer="testcard", lanes=2), prefetch=0)
    batch_id = await submit(cards.rig, [("one", 99), ("two", 99)])
    await cards.wait_until_done(batch_id)
    happened = Counter(await check(cards, batch_id, 2))
    assert happened[EventKind.FAIL] == 0
    assert happened[EventKind.LEASE] == 2
    assert happened[EventKind.CHUNK] == 6
    assert farm.said.card.lanes == 1


@pytest.mark.parametrize(
    ("lanes", "words"),
    [
        (2, "with 2 lanes: MemoryError: CUDA out of memory; once more, with one lane: MemoryError"),
        (1, "no smaller setting than one lane here"),
    ],
)
async def test_what_was_tried_is_told(
    cards: Cards, monkeypatch: pytest.MonkeyPatch, lanes: int, words: str
):
    act(monkeypatch, SHORT_OF_MEMORY.format(lanes=0, chunk=0))
    Directed(cards, child=ChildOptions(renderer="testcard", lanes=lanes))
    await submit(cards.rig, [("one", 33)])
    await cards.wait_for("a failure", lambda: details(cards, EventKind.FAIL))
    failure = details(cards, EventKind.FAIL)[0]
    assert "out of GPU memory" in failure
    assert words in failure


async def test_a_card_that_comes_up_no_more_fails_one_clip_and_gives_back_the_next(
    cards: Cards, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """What it had begun is its failure; what only waited has lost nothing."""
    flag = tmp_path / "no GPU"
    act(monkeypatch, GONE_WHEN_TOLD.format(flag=str(flag)))
    farm = Directed(cards, child=ChildOptions(renderer="testcard", seconds_per_chunk=3600))
    await submit(cards.rig, [(f"clip {n}", 33) for n in range(5)])
    await cards.wait_for("both clips", lambda: farm.started() and len(farm.said.held) == 2)
    flag.touch()
    (begun,) = farm.started()
    (waiting,) = {held.clip_id for held in farm.said.held} - {begun}
    pid = farm.agent._engine.pid
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    await cards.wait_for("both ends", lambda: kinds(cards, waiting)["yield"])
    assert kinds(cards, begun)["fail"] == 1
    assert kinds(cards, waiting)["fail"] == 0
    assert "node: render child was killed by SIGKILL" in details(cards, EventKind.FAIL)[0]
    await cards.wait_for("its word", lambda: "no device" in farm.said.card.condition)
    assert farm.said.capacity == 0


async def test_a_chunk_that_never_comes_is_a_stall(cards: Cards):
    child = ChildOptions(renderer="testcard", seconds_per_chunk=3600)
    limits = StallLimits(seconds_first=0.5, seconds_min=0.5)
    farm = Directed(cards, child=child, stall=limits)
    batch_id = await submit(cards.rig, [("one", 33)])
    await cards.wait_for("a failure", lambda: details(cards, EventKind.FAIL))
    assert "stall: render child was killed" in details(cards, EventKind.FAIL)[0]
    assert cards.rig.ledger.progress([batch_id])[batch_id].clips.get(ClipState.DONE, 0) == 0
    await cards.wait_for("another child", lambda: farm.said.telemetry.child_restarts >= 1)
