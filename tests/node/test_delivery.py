"""Files on their way to a store that does not take them yet."""

from __future__ import annotations

import asyncio
from pathlib import Path

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent import delivery
from node_agent.delivery import Artifact, Delivery
from node_agent.engine import Engine
from node_agent.outbox import Outbox
from node_agent.quality.signals import Thresholds
from node_agent.render.child import ChildOptions
from node_agent.upload import ObjectTransfer, UrlExpired
from node_agent.workbench import Counters, Workbench


class ClockApart(ObjectTransfer):
    """A store whose clock is so far from the farm's that fresh URLs are over for it."""

    def __init__(self, times: int) -> None:
        super().__init__()
        self.left = times

    def put(self, url: str, headers: object, path: Path) -> None:
        self.left -= 1
        if self.left >= 0:
            raise UrlExpired("403 RequestTimeTooSkewed")


async def test_urls_that_are_never_fresh_enough_are_not_asked_for_in_a_hurry(
    tmp_path: Path, monkeypatch
):
    """The first one may have waited too long; after that, each is asked for after a pause."""
    outbox, pauses = Outbox(), []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    tools = Workbench(
        card_id="card",
        engine=Engine(ChildOptions(renderer="testcard"), lambda: None),
        outbox=outbox,
        transfer=ClockApart(times=4),
        counters=Counters(),
        spool=tmp_path,
        thresholds=Thresholds(),
    )
    artifact = Artifact(types_pb.ARTIFACT_KIND_SEGMENT, 0, "a" * 64, 3)
    entry = node_pb.OutboxEntry(chunk=node_pb.ChunkReport())
    monkeypatch.setattr(delivery.asyncio, "sleep", pause)
    delivering = asyncio.ensure_future(
        Delivery(("clip", 1), tools).deliver({artifact: tmp_path / "segment"}, entry)
    )
    while not delivering.done():
        await outbox.changed.wait()
        outbox.changed.clear()
        asked = node_pb.ExchangeRequest()
        outbox.fill(asked)
        outbox.hand_out(
            node_pb.Grant(clip_id=i.clip_id, attempt=i.attempt, artifact=i.artifact)
            for i in asked.intents
        )
        outbox.settle(
            node_pb.Verdict(sequence=e.sequence, outcome=node_pb.Verdict.OUTCOME_RECORDED)
            for e in asked.outbox
        )
        if asked.outbox:
            await delivering
    assert pauses == [delivery.STORE_DOWN_SECONDS] * 3
