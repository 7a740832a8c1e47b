"""One agent on every card of the cluster, for as long as the card is there.

An agent's `run` never returns: that it fails *is* the report of its death. Ray starts it again,
as a new incarnation; this only notices, tells the coordinator, and calls `run` again.

A card whose coordinator wants another interpreter for it, that of another release, gets another
agent once it holds nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from farm.fleet_ray.demand import Demand
from farm.fleet_ray.names import GATEWAY, NAME_LABEL, NAMESPACE, OTHER_PYTHON, agent_name
from farm.fleet_ray.settings import HeadSettings
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.links.ray import AgentActor

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""How often the cluster is looked at for cards that came or went."""
FLEET_SECONDS = 5.0
"""How often the coordinator is asked; for 10,000 cards its answer takes a tenth of a second."""
AGAIN_SECONDS = 0.2
BROKEN_SECONDS = 1.0
"""Pause after an agent that died before it could say who it is."""

Fleet = Callable[[], Awaitable[tuple[fleet_pb.GetFleetResponse, list[types_pb.Card]]]]
"""What the coordinator knows of its cards, and how many it wants."""
Lost = Callable[[str, str, str, bool], Awaitable[None]]
"""Told (card id, incarnation, reason, for good) when an agent has died. For good: it may still be
heard of, for the network has brought it back, but Ray ends it as soon as it can. Without an
incarnation: one that was to run with another interpreter died before it could say who it is."""


@dataclass(slots=True)
class Kept:
    """A card that has its agent, or has none any more: it is drained, or is to get another."""

    node_id: str
    python: str = ""
    """The interpreter of its agent; empty: its node's own."""
    task: asyncio.Task[None] | None = None
    """None: it has none."""

    @property
    def is_over(self) -> bool:
        """The node is gone."""
        return self.task is not None and self.task.done()


class Placement:
    """Keeps an agent on every card."""

    def __init__(self, settings: HeadSettings, fleet: Fleet, lost: Lost) -> None:
        self._settings = settings
        self._fleet = fleet
        self._lost = lost
        self._demand = Demand()
        self._cards: dict[str, types_pb.Card] = {}
        self._asks_at = 0.0
        self._kept: dict[str, Kept] = {}
        self._told: set[tuple[str, str]] = set()
        self._others: defaultdict[str, set[str]] = defaultdict(set)
        """Agents that may still be there and are perhaps not those wanted now: names by that of
        the agent with the node's own interpreter on the same card."""

    async def run(self) -> None:
        """Look at the cluster for ever."""
        remembered = False
        while True:
            try:
                if not remembered:
                    await self._remember_agents()
                    remembered = True
                await self._look()
            except Exception:
                logger.exception("looking at the cluster failed")
            await asyncio.sleep(LOOK_SECONDS)

    async def _remember_agents(self) -> None:
        """Learn which agents an earlier coordinator has made, with whatever interpreter."""
        for name in await asyncio.to_thread(ray.util.list_named_actors):
            self._others[name.partition(OTHER_PYTHON)[0]].add(name)

    async def _look(self) -> None:
        await self._ask_fleet()
        for node in await asyncio.to_thread(_alive):
            for slot in range(int(node["Resources"].get("card", 0))):
                await self._settle(node, slot, f"{_name(node)}-{slot}")

    async def _settle(self, node: dict[str, Any], slot: int, card_id: str) -> None:
        """See that a card has its agent, or that a drained one has none."""
        kept = self._kept.get(card_id)
        if kept is None or kept.is_over:
            kept = self._kept[card_id] = Kept(node["NodeID"])
        elif kept.node_id != node["NodeID"] and kept.task is not None:
            self._say_that_it_waits(card_id, node, kept)
            return
        kept.node_id = node["NodeID"]
        card = self._cards.get(card_id)
        python = card.python_wanted if card is not None else ""
        if card is not None and is_drained(card):
            if kept.task is not None or card.online:
                await self._end(card, kept, "its node is drained")
        elif kept.task is None:
            kept.python = python
            kept.task = asyncio.create_task(self._keep(node, slot, card_id, python))
        elif card is not None and kept.python != python and not card.clip_ids:
            own = "the interpreter of its node"
            await self._end(card, kept, f"its agent goes on with {python or own}")

    async def _ask_fleet(self) -> None:
        """Hear what was decided of the cards, and pass on how many are wanted."""
        if (now := time.monotonic()) < self._asks_at:
            return
        self._asks_at = now + FLEET_SECONDS
        view, cards = await self._fleet()
        self._cards = {card.card_id: card for card in cards}
        await self._demand.tell(view.cards_wanted, cards)

    async def _end(self, card: types_pb.Card, kept: Kept, why: str) -> None:
        """End an agent that holds nothing. One that was just being started is ended when it is
        heard of.

        Of a drained card, nothing of ours is left on the node, which Ray's autoscaler may then take
        away.
        """
        logger.info("card %s: its agent ends: %s", card.card_id, why)
        if kept.task is not None:
            kept.task.cancel()
            kept.task = None
        name = agent_name(card.card_id, kept.node_id, kept.python)
        try:
            await asyncio.to_thread(_end_agent, name)
        except RayError as error:
            logger.warning("card %s: its agent could not be ended yet: %s", card.card_id, error)
            self._others[agent_name(card.card_id, kept.node_id)].add(name)
        await self._tell(card.card_id, card.incarnation, why, for_good=False)
        self._asks_at = 0.0  # is it offline now?

    def _say_that_it_waits(self, card_id: str, node: dict[str, Any], kept: Kept) -> None:
        """A machine that comes back before Ray knows of its death waits for that; so does one that
        has the name of another, and for ever."""
        if (card_id, node["NodeID"]) not in self._told:
            self._told.add((card_id, node["NodeID"]))
            logger.warning(
                "card %s of node %s, %s, waits until node %s is gone; if that is another machine "
                "of the same name, join one of them with --name",
                card_id, node["NodeID"][:8], node["NodeManagerAddress"], kept.node_id[:8],
            )  # fmt: skip

    async def _keep(self, node: dict[str, Any], slot: int, card_id: str, python: str) -> None:
        """Have an agent run on a card until its node is gone."""
        incarnation = ""
        while True:
            answered = False
            try:
                await self._end_others(node, card_id, python)
                agent = await asyncio.to_thread(self._agent, node, slot, card_id, python)
                incarnation = await agent.incarnation.remote()
                answered = True
                await agent.run.remote()
            except RayError as error:
                reason = f"its agent died ({type(error).__name__})"
                logger.warning("card %s: %s", card_id, reason)
            else:
                reason = "its agent ended"
            is_over = not await asyncio.to_thread(_is_alive, node["NodeID"])
            if answered or (is_over and incarnation):
                await self._tell(card_id, incarnation, reason, for_good=is_over)
            elif python:
                await self._tell(card_id, "", f"{reason}; it was to run {python}", for_good=False)
            if is_over:
                return
            await asyncio.sleep(AGAIN_SECONDS if answered else BROKEN_SECONDS)

    async def _end_others(self, node: dict[str, Any], card_id: str, python: str) -> None:
        """End what else was made on this card, with another interpreter. Raises RayError."""
        others = self._others.pop(agent_name(card_id, node["NodeID"]), set())
        for name in others - {agent_name(card_id, node["NodeID"], python)}:
            try:
                await asyncio.to_thread(_end_agent, name)
            except RayError:
                self._others[agent_name(card_id, node["NodeID"])] = others
                raise

    async def _tell(self, card_id: str, incarnation: str, reason: str, *, for_good: bool) -> None:
        try:
            await self._lost(card_id, incarnation, reason, for_good)
        except Exception:  # its lease expires by itself
            logger.exception("the loss of card %s could not be recorded", card_id)

    def _agent(self, node: dict[str, Any], slot: int, card_id: str, python: str) -> Any:
        """The card's agent, made if it is not there."""
        options = {
            "name": agent_name(card_id, node["NodeID"], python),
            "namespace": NAMESPACE,
            "lifetime": "detached",
            "get_if_exists": True,
            "max_restarts": -1,
            "num_cpus": 0,
            "resources": {"card": 1},
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            **({"runtime_env": {"py_executable": python}} if python else {}),
        }
        return (
            ray.remote(AgentActor)
            .options(**options)
            .remote(
                gateway=GATEWAY,
                namespace=NAMESPACE,
                card_id=card_id,
                node_id=node["NodeID"],
                hostname=_name(node),
                slot=slot,
                thresholds=self._settings.thresholds,
            )
        )


def is_drained(card: types_pb.Card) -> bool:
    """Nothing is held by a card whose node is about to leave."""
    return card.standing == types_pb.STANDING_DRAINING and not card.clip_ids


def _end_agent(name: str) -> None:
    """End an agent for good; one that is not there has ended. Raises RayError."""
    with contextlib.suppress(ValueError):  # it is not there
        ray.kill(ray.get_actor(name, namespace=NAMESPACE))


def _alive() -> list[dict[str, Any]]:
    """The cluster's living nodes, the longest known first."""
    nodes: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    return [node for node in nodes if node["Alive"]]


def _is_alive(node_id: str) -> bool:
    return any(node["NodeID"] == node_id for node in _alive())


def _name(node: dict[str, Any]) -> str:
    """What its machine is called: as it joined, or by its own name."""
    return str(node["Labels"].get(NAME_LABEL) or node["NodeManagerHostname"])
