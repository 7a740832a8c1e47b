"""A real agent, gateway, coordinator and object store over a link that loses what is said.

Level-triggered (REL-2): whatever a lost, doubled or late message did, the next exchange heals.
No clip is leased without a holder, and every clip is delivered once.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from farm.domain.clip import ClipState, EventKind
from farm.gateway.coordinator_link import CoordinatorUnavailable, GatewayBusy
from farm.objects.s3 import S3ObjectStore
from farm.plan.policy import Policy
from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.agent import Agent
from node_agent.card_settings import CardSettings
from node_agent.links.link import LinkDown
from node_agent.links.local import LocalLink
from node_agent.render.child import ChildOptions
from tests.fixtures.gateway import Rig, submission
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures
from tests.fixtures.oracle import check_books

PATIENCE_SECONDS = 90
CLIPS = [("one", 99), ("two", 34), ("three", 1)]

LOSE_REQUEST = "lose the request"
LOSE_REPLY = "lose the reply"
TWICE = "deliver it twice"
LATE = "deliver it late, after newer ones, to nobody"
SLOW = "delay it"
FAULTS = (LOSE_REQUEST, LOSE_REPLY, TWICE, LATE, SLOW)

Choice = Callable[[int, node_pb.ExchangeRequest], str]
"""(Number of the exchange, the request) → a fault, or "" for none."""


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()


class FaultyLink:
    """`Link` between an agent and a gateway, with a will of its own."""

    def __init__(self, rig: Rig, choose: Choice) -> None:
        self._rig = rig
        self._link = LocalLink(self._ask)
        self._choose = choose
        self._late: set[asyncio.Task[bytes]] = set()
        self.requests: list[bytes] = []
        """All that the agent ever said, in order."""
        self.faults: list[str] = []

    async def exchange(self, request: bytes) -> bytes:
        self.requests.append(request)
        parsed = node_pb.ExchangeRequest.FromString(request)
        fault = self._choose(len(self.requests), parsed)
        self.faults += [fault] if fault else []
        if fault == LOSE_REQUEST:
            raise LinkDown(fault)
        if fault == LATE:
            self._late.add(asyncio.create_task(self._ask_later(request)))
            raise LinkDown(fault)
        if fault == SLOW:
            await asyncio.sleep(0.2)
        reply = await self._link.exchange(request)
        if fault == TWICE:
            reply = await self._link.exchange(request)
        if fault == LOSE_REPLY:
            raise LinkDown(fault)
        return reply

    async def settle(self) -> None:
        """Wait for what is still under way."""
        await asyncio.gather(*self._late, return_exceptions=True)

    async def _ask_later(self, request: bytes) -> bytes:
        await asyncio.sleep(0.3)
        return await self._link.exchange(request)

    async def _ask(self, request: bytes) -> bytes:
        try:
            return await self._rig.gateway.exchange(request)
        except (CoordinatorUnavailable, GatewayBusy) as error:
            raise LinkDown(str(error)) from error


class Cards:
    """Agents of cards, started and killed by a test."""

    def __init__(self, rig: Rig, spool: Path) -> None:
        self.rig = rig
        self._spool = spool
        self._running: dict[str, tuple[Agent, asyncio.Task[None], FaultyLink]] = {}

    def start(
        self, card_id: str, choose: Choice, seconds_per_chunk: float = 0.05, **more: Any
    ) -> FaultyLink:
        """A new incarnation of a card's agent, with `more` of its settings."""
        child = ChildOptions(renderer="testcard", seconds_per_chunk=seconds_per_chunk)
        settings = CardSettings(
            card_id=card_id,
            node_id="node",
            hostname="host",
            slot=0,
            device="cpu",
            spool=self._spool / card_id,
            **{"child": child, **more},
        )
        link = FaultyLink(self.rig, choose)
        agent = Agent(settings, link)
        self._running[card_id] = (agent, asyncio.create_task(agent.run()), link)
        return link

    async def stop(self, card_id: str) -> None:
        """The agent is gone in the midst of whatever it did; the farm is not told."""
        _, work, link = self._running.pop(card_id)
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
        await link.settle()

    def agent(self, card_id: str) -> Agent:
        """The agent that serves a card now."""
        return self._running[card_id][0]

    async def stop_all(self) -> None:
        for card_id in list(self._running):
            await self.stop(card_id)

    @property
    def leases(self) -> dict[str, str]:
        """Clip id → holder's incarnation, of every lease in the coordinator."""
        clips = self.rig.link.coordinator.books.clips
        holders = {clip_id: clips.get(clip_id) for clip_id in clips.leases}
        return {c: clip.holder.incarnation for c, clip in holders.items() if clip and clip.holder}

    async def wait_for(self, what: str, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            if time.monotonic() > deadline:
                events = self.rig.ledger.events(after=0, limit=10_000)
                lines = [
                    f"{e.clip_id} {e.kind} {e.to_state} {e.attempt} {e.detail}" for e in events
                ]
                raise AssertionError("\n".join([f"{what}: never came true", *lines]))
            for _, work, _ in self._running.values():
                assert not work.done(), work.exception()
            await asyncio.sleep(0.02)

    async def wait_until_done(self, batch_id: str) -> None:
        def done() -> bool:
            clips = self.rig.ledger.progress([batch_id])[batch_id].clips
            return clips.get(ClipState.DONE, 0) == sum(clips.values())

        await self.wait_for("the end of the batch", done)

    async def wait_until_nothing_is_held(self, link: FaultyLink) -> None:
        """Until the agent says that it holds nothing: neither side has a lease any more."""

        def idle() -> bool:
            last = node_pb.ExchangeRequest.FromString(link.requests[-1])
            return not (last.held or last.outbox or last.intents or self.leases)

        await self.wait_for("an agent that holds nothing", idle)


@pytest.fixture
async def cards(
    tmp_path: Path,
    object_store: S3ObjectStore,  # noqa: F811 - the fixture
) -> AsyncIterator[Cards]:
    async with Rig(tmp_path, objects=object_store, clock=SystemClock()) as rig:
        rig.link.coordinator.policy = Policy(lease_seconds=600.0, exchange_seconds=1.0)
        cards = Cards(rig, tmp_path / "spool")
        yield cards
        await cards.stop_all()


async def submit(rig: Rig, clips: list[tuple[str, int]] = CLIPS) -> str:
    rows = [
        {"id": name, "prompt": name, "frames": str(frames), "size": "64x64", "seed": "5"}
        for name, frames in clips
    ]
    answer = await rig.batches.Submit(submission(rows))
    assert not answer.problems
    return answer.batch.batch_id


async def check(cards: Cards, batch_id: str, clips: int) -> list[str]:
    """The oracle on ledger and objects; returns the kinds of the clips' events."""
    verdict = await asyncio.to_thread(check_books, cards.rig, batch_id, submitted=clips)
    assert verdict.states() == {ClipState.DONE: clips}
    assert not cards.leases
    assert not cards.rig.ledger.clip_counts()[ClipState.LEASED]
    return [event.kind for event in verdict.events if event.clip_id]


def no_fault(_number: int, _request: node_pb.ExchangeRequest) -> str:
    return ""


@pytest.mark.parametrize("fault", FAULTS)
async def test_every_other_exchange_goes_wrong(cards: Cards, fault: str):
    batch_id = await submit(cards.rig)
    link = cards.start("node-0", lambda number, _: fault if number % 2 else "")
    await cards.wait_until_done(batch_id)
    await cards.wait_until_nothing_is_held(link)
    await link.settle()
    kinds = await check(cards, batch_id, len(CLIPS))
    assert len(link.faults) > 3
    assert EventKind.LOST not in kinds, "no lease was ever without its holder"
    assert kinds.count(EventKind.LEASE) == len(CLIPS), "nothing was rendered by two attempts"


@pytest.mark.parametrize("fault", [LOSE_REPLY, TWICE, LATE])
async def test_each_piece_of_news_goes_wrong_once(cards: Cards, fault: str):
    """The first exchange that carries a report, whichever, is hit: commits happen, or happen
    twice, while the agent hears nothing of them."""
    hit: set[int] = set()

    def choose(_number: int, request: node_pb.ExchangeRequest) -> str:
        news = {entry.sequence for entry in request.outbox} - hit
        hit.update(news)
        return fault if news else ""

    batch_id = await submit(cards.rig)
    link = cards.start("node-0", choose)
    await cards.wait_until_done(batch_id)
    await cards.wait_until_nothing_is_held(link)
    await link.settle()
    kinds = await check(cards, batch_id, len(CLIPS))
    assert kinds.count(EventKind.CHUNK) == 3 + 2 + 1
    assert kinds.count(EventKind.DONE) == kinds.count(EventKind.LEASE) == len(CLIPS)


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_a_storm_of_faults_on_two_cards(cards: Cards, seed: int):
    print(f"seed {seed}")
    clips = [(f"clip {n}", frames) for n, frames in enumerate([120, 34, 66, 1, 99, 33])]
    batch_id = await submit(cards.rig, clips)
    links = []
    for number in range(2):
        dice = random.Random(f"{seed}/{number}")
        links.append(
            cards.start(
                f"node-{number}",
                lambda _n, _r, dice=dice: dice.choice(FAULTS) if dice.random() < 0.5 else "",
            )
        )
    await cards.wait_until_done(batch_id)
    for link in links:
        await cards.wait_until_nothing_is_held(link)
        await link.settle()
    kinds = await check(cards, batch_id, len(clips))
    assert EventKind.LOST not in kinds
    assert all(link.faults for link in links)


async def test_an_agent_started_anew_under_its_card_leaves_no_phantom_lease(cards: Cards):
    """The farm hears of the death by the new incarnation alone: its first word takes back what
    the old one held, and not a lease time later."""
    cards.rig.link.coordinator.policy = Policy(lease_seconds=3600.0, exchange_seconds=1.0)
    batch_id = await submit(cards.rig, [("long", 165), ("next", 34)])
    old = cards.start("node-0", no_fault, seconds_per_chunk=0.3)

    def two_chunks() -> bool:
        return cards.rig.ledger.progress([batch_id])[batch_id].chunks_done >= 2

    await cards.wait_for("two recorded chunks", two_chunks)
    before = dict(cards.leases)
    await cards.stop("node-0")
    assert before
    assert cards.leases == before, "nobody has told the farm yet"
    new = cards.start("node-0", no_fault)
    await cards.wait_for("new leases", lambda: not {*before.values()} & {*cards.leases.values()})
    await cards.wait_until_done(batch_id)
    await cards.wait_until_nothing_is_held(new)
    kinds = await check(cards, batch_id, 2)
    assert kinds.count(EventKind.LOST) == len(before)
    assert kinds.count(EventKind.CHUNK) == 5 + 2, "what was recorded was not rendered again"
    await replay(cards, old)


async def test_what_a_dead_incarnation_said_last_arrives_after_the_new_ones_word(cards: Cards):
    """A request that was under way when its agent died changes nothing any more."""
    batch_id = await submit(cards.rig, [("long", 165), ("next", 34)])
    old = cards.start("node-0", no_fault, seconds_per_chunk=0.3)
    await cards.wait_for("a lease", lambda: cards.leases)
    await cards.stop("node-0")
    new = cards.start("node-0", no_fault, seconds_per_chunk=0.3)
    await cards.wait_for("the new one's word", lambda: new.requests)

    def leased_anew() -> bool:
        return bool(cards.leases) and not {*cards.leases.values()} & incarnations(old)

    await cards.wait_for("new leases", leased_anew)
    await replay(cards, old)
    assert not {*cards.leases.values()} & incarnations(old)
    await cards.wait_until_done(batch_id)
    await cards.wait_until_nothing_is_held(new)
    kinds = await check(cards, batch_id, 2)
    assert kinds.count(EventKind.LOST) <= 2


def incarnations(link: FaultyLink) -> set[str]:
    return {node_pb.ExchangeRequest.FromString(raw).card.incarnation for raw in link.requests}


async def replay(cards: Cards, link: FaultyLink) -> None:
    """Say again all that a dead incarnation ever said: it is given nothing, and told so."""
    for raw in link.requests:
        reply = node_pb.ExchangeResponse.FromString(await cards.rig.gateway.exchange(raw))
        assert not reply.wanted
        assert not reply.grants
