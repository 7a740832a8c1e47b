"""Exchanges over Ray, and the agent as Ray starts it. The only module here that imports ray."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayError

from node_agent.agent import Agent, CardSettings
from node_agent.burnin import FOLDER as GOLDEN_FOLDER
from node_agent.links.link import LinkDown
from node_agent.node_file import DEFAULT_PATH as NODE_FILE
from node_agent.quality.signals import Thresholds
from node_agent.render.child import ChildOptions

EXCHANGE_SECONDS = 60.0
"""An exchange that takes longer is said again; the farm tells the two apart."""

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
        device: str,
        spool: str,
        renderer: str,
        model: str,
        stamps: str,
        seconds_per_chunk: float,
        thresholds: Mapping[str, Any],
        lanes: int,
        loras: str,
        inputs: tuple[str, ...] | None,
        tags: tuple[str, ...] = (),
        idle_unload_seconds: float = 0.0,
    ) -> None:
        logging.basicConfig(
            level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr
        )
        child = ChildOptions(
            renderer=renderer,
            model=Path(model) if model else None,
            stamps=Path(stamps),
            device=device,
            seconds_per_chunk=seconds_per_chunk,
            lanes=lanes,
            loras=Path(loras) if loras else None,
        )
        settings = CardSettings(
            card_id=card_id,
            node_id=node_id,
            hostname=hostname,
            slot=slot,
            device=device,
            spool=Path(spool),
            child=child,
            thresholds=Thresholds(**thresholds),
            inputs=inputs,
            tags=tags,
            node_file=NODE_FILE.expanduser(),
            idle_unload_seconds=idle_unload_seconds,
            golden=GOLDEN_FOLDER.expanduser(),
        )
        self._agent = Agent(settings, RayLink(gateway, namespace))
        gc.freeze()  # full collections (0.3 s each) need not go through what start-up loaded
        self._work = asyncio.get_running_loop().create_task(self._agent.run())

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
