"""An agent brings what the farm offers its node, while it exchanges as ever."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.agent import Agent
from node_agent.card_settings import CardSettings
from node_agent.models import verify
from node_agent.models.stamps import STAMPS_NAME
from node_agent.models.swarm.settings import SupplySettings
from node_agent.render.child import ChildOptions
from tests.node.swarm.conftest import Rack


class Farm:
    """Offers a model, and keeps what it is told."""

    def __init__(self, offer: node_pb.ModelOffer) -> None:
        self.offer: node_pb.ModelOffer | None = offer
        self.said: list[node_pb.CardReport] = []

    async def exchange(self, request: bytes) -> bytes:
        self.said.append(node_pb.ExchangeRequest.FromString(request).card)
        response = node_pb.ExchangeResponse(next_exchange_seconds=1)
        if self.offer is not None:
            response.outfit.offer.CopyFrom(self.offer)
        return response.SerializeToString()

    async def until(self, what: str) -> node_pb.ModelHolding:
        """The next report that says of its holding what is to be awaited."""
        async with asyncio.timeout(60):
            while not (self.said and _holds(self.said[-1], what)):
                await asyncio.sleep(0.05)
        return self.said[-1].holding


def _holds(card: node_pb.CardReport, what: str) -> bool:
    return not card.HasField("holding") if what == "nothing" else bool(getattr(card.holding, what))


async def test_an_agent_brings_what_is_offered_and_says_what_it_has(
    rack: Rack, tmp_path: Path
) -> None:
    stamps = tmp_path / "models" / STAMPS_NAME
    settings = CardSettings(
        card_id="c",
        node_id="n",
        hostname="host",
        slot=0,
        device="cpu",
        spool=tmp_path / "spool",
        child=ChildOptions(renderer="testcard"),
        supply=SupplySettings(node="host", stamps=stamps),
    )
    farm = Farm(rack.offer(seeds=True))
    work = asyncio.create_task(Agent(settings, farm).run())
    try:
        await farm.until("url")
        held = await farm.until("complete")
        assert (held.digest, held.bytes, held.bytes_from_source) == (
            rack.digest,
            rack.size,
            rack.size,
        )
        assert "BEGIN CERTIFICATE" in held.certificate
        assert await asyncio.to_thread(verify, tmp_path / "models" / "model", reread=True) == []
        farm.offer = None
        await farm.until("nothing")
    finally:
        work.cancel()
        with suppress(asyncio.CancelledError):
            await work
