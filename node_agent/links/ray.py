"""Exchanges over Ray, and the agent as Ray starts it. The only module here that imports ray."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
from collections.abc import Mapping
from functools import partial
from typing import Any

import ray
from ray.exceptions import RayError

from heliostat.logs.setup import configure
from node_agent.agent import Agent
from node_agent.burnin import FOLDER as GOLDEN_FOLDER
from node_agent.card_settings import CardSettings
from node_agent.cluster.presence import Presence
from node_agent.cluster.settings import NodeSettings
from node_agent.links.link import LinkDown
from node_agent.models.swarm.settings import SupplySettings
from node_agent.quality.signals import Thresholds

__all__ = ["AgentActor", "NodeSettings", "RayLink"]

EXCHANGE_SECONDS = 60.0
"""An exchange that takes longer is said again; the farm tells the two apart."""
SPEAK_SECONDS = 0.5
"""How often the node hears of its card, and the card of its node."""

logger = logging.getLogger(__name__)


class RayLink:
    """Exchanges with the farm's gateway, which Ray starts again whenever it dies."""

    def __init__(self, gateway: str, namespace: str) -> None:
        self._name = gateway
        self._namespace = namespace
        self._gateway: Any = None

    async def exchange(self, request: bytes) -> bytes:
        """See `Link.exchange`."""
        try:
            if self._gateway is None:
                self._gateway = await asyncio.to_thread(
                    ray.get_actor, self._name, namespace=self._namespace
                )
            async with asyncio.timeout(EXCHANGE_SECONDS):
                response: bytes = await self._gateway.exchange.remote(request)
                return response
        except (RayError, TimeoutError, ValueError) as error:  # ValueError: there is none yet
            self._gateway = None
            raise LinkDown(f"{type(error).__name__}: {str(error).splitlines()[0]}") from error


class AgentActor:
    """One card's agent as a Ray process. Each start of it is a new incarnation."""

    def __init__(
        self,
        *,
        gateway: str,
        namespace: str,
        card_id: str,
        node_id: str,
        hostname: str,
        slot: int,
        thresholds: Mapping[str, Any],
    ) -> None:
        """What the farm says; all else is said by the node's own settings."""
        node = NodeSettings.of_this_node()
        configure("agent", file=node.log_file(card_id), card_id=card_id)
        settings = CardSettings(
            card_id=card_id,
            node_id=node_id,
            hostname=hostname,
            slot=slot,
            device=node.device(slot),
            spool=node.spool / card_id,
            child=node.child(slot),
            thresholds=Thresholds(**thresholds),
            inputs=node.inputs,
            roots=node.roots,
            tags=node.tags,
            node_file=node.node_file.expanduser(),
            idle_unload_seconds=node.idle_unload_seconds,
            golden=GOLDEN_FOLDER.expanduser(),
            supply=SupplySettings(
                node=hostname,
                stamps=node.stamps,
                address=_address(),
                port=node.model_port,
                upload_mbit=node.upload_mbit,
            ),
            log_file=node.log_file(card_id),
            kept=node.kept(card_id),
            releases=node.releases,
            models=node.stamps.parent,
            child_with=partial(node.child, slot),
        )
        self._agent = Agent(settings, RayLink(gateway, namespace))
        gc.freeze()  # full collections (0.3 s each) need not go through what start-up loaded
        loop = asyncio.get_running_loop()
        self._work = loop.create_task(self._agent.run())
        presence = Presence(node.directory)
        self._spoken = loop.create_task(_speak_for_ever(self._agent, presence, card_id))

    async def incarnation(self) -> str:
        """Which start of this card's agent this is."""
        return self._agent.incarnation

    async def run(self) -> None:
        """Never returns: that it fails is the report of the agent's death."""
        try:
            await asyncio.shield(self._work)
        except Exception:
            logger.exception("the agent broke; it is started anew")
            os._exit(1)


def _address() -> str:
    """Of this machine, as Ray's other nodes reach it."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


async def _speak_for_ever(agent: Agent, presence: Presence, card_id: str) -> None:
    """Tell the node how its card does, and hear from it when to leave."""
    told = None
    while True:
        if presence.leaving:
            agent.leave()
        if (state := agent.state) != told:
            try:
                presence.tell(card_id, state)
                told = state
            except OSError as error:  # a full disk: the card can do without
                logger.warning("the card's state was not written: %s", error)
        await asyncio.sleep(SPEAK_SECONDS)
