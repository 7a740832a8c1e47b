"""One agent on every card of the cluster, for as long as the card is there.

An agent's `run` never returns: that it fails *is* the report of its death. Ray starts it again,
as a new incarnation; this only notices, tells the coordinator, and calls `run` again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from farm.fleet_ray.names import GATEWAY, NAMESPACE, agent_name
from farm.fleet_ray.settings import HeadSettings
from node_agent.links.ray import AgentActor

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the cluster is looked at for cards that came or went."""
AGAIN_SECONDS = 0.2

Lost = Callable[[str, str, str], Awaitable[None]]
"""Told (card id, incarnation, reason) when an agent has died."""


class Placement:
    """Keeps an agent on every card."""

    def __init__(self, settings: HeadSettings, lost: Lost) -> None:
        self._settings = settings
        self._lost = lost
        self._kept: dict[str, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Look at the cluster for ever."""
        while True:
            try:
                await self._look()
            except Exception:
                logger.exception("looking at the cluster failed")
            await asyncio.sleep(LOOK_SECONDS)

    async def _look(self) -> None:
        nodes = await asyncio.to_thread(_nodes)
        for node in nodes:
            if not node["Alive"]:
                continue
            for slot in range(int(node["Resources"].get("card", 0))):
                card_id = f"{node['NodeManagerHostname']}-{slot}"
                kept = self._kept.get(card_id)
                if kept is None or kept.done():
                    self._kept[card_id] = asyncio.create_task(self._keep(node, slot, card_id))

    async def _keep(self, node: dict[str, Any], slot: int, card_id: str) -> None:
        """Have an agent run on a card until its node is gone."""
        while True:
            incarnation = ""
            try:
                agent = await asyncio.to_thread(self._agent, node, slot, card_id)
                incarnation = await agent.incarnation.remote()
                await agent.run.remote()
            except RayError as error:
                reason = f"its agent died ({type(error).__name__})"
                logger.warning("card %s: %s", card_id, reason)
            else:
                reason = "its agent ended"
            if incarnation:
                await self._tell(card_id, incarnation, reason)
            if not await asyncio.to_thread(_is_alive, node["NodeID"]):
                return
            await asyncio.sleep(AGAIN_SECONDS)

    async def _tell(self, card_id: str, incarnation: str, reason: str) -> None:
        try:
            await self._lost(card_id, incarnation, reason)
        except Exception:  # its lease expires by itself
            logger.exception("the loss of card %s could not be recorded", card_id)

    def _agent(self, node: dict[str, Any], slot: int, card_id: str) -> Any:
        """The card's agent, made if it is not there."""
        settings = self._settings
        device = "cpu" if slot < settings.cpu_cards else f"cuda:{slot - settings.cpu_cards}"
        options = {
            "name": agent_name(card_id),
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": -1,
            "num_cpus": 0,
            "resources": {"card": 1},
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
        }
        return (
            ray.remote(AgentActor)
            .options(**options)
            .remote(
                gateway=GATEWAY,
                namespace=NAMESPACE,
                card_id=card_id,
                node_id=node["NodeID"],
                hostname=node["NodeManagerHostname"],
                slot=slot,
                device=device,
                spool=str(settings.data_dir / "spool" / card_id),
                renderer=settings.renderer,
                model=str(settings.model) if settings.model else "",
                stamps=str(settings.data_dir / "models" / "verified.json"),
                seconds_per_chunk=settings.seconds_per_chunk,
                thresholds=settings.thresholds,
                lanes=settings.lanes,
                loras=str(settings.loras) if settings.loras else "",
                inputs=settings.input_directories,
            )
        )


def _nodes() -> list[dict[str, Any]]:
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return nodes


def _is_alive(node_id: str) -> bool:
    return any(node["NodeID"] == node_id and node["Alive"] for node in _nodes())
