"""How an agent has part in the rollout of a model: loaded once there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from heliostat.v1 import node_service_pb2 as node_pb
from node_agent.models.swarm.settings import SupplySettings

if TYPE_CHECKING:
    from node_agent.models.swarm.supply import ModelSupply


class Supply:
    """What of the model that the farm offers is on this node."""

    def __init__(self, settings: SupplySettings | None, changed: Callable[[], None]) -> None:
        """`changed` is called, in the agent's loop, when there is news for the farm."""
        self._settings, self._changed = settings, changed
        self._models: ModelSupply | None = None

    def heed(self, outfit: node_pb.Outfit) -> None:
        """What the farm offers, or that it offers nothing."""
        offer = outfit.offer if outfit.HasField("offer") else None
        if self._models is None and offer is not None and self._settings is not None:
            from node_agent.models.swarm.supply import ModelSupply  # with TLS and the hub's library

            loop = asyncio.get_running_loop()

            def changed() -> None:
                with suppress(RuntimeError):  # the loop has ended meanwhile
                    loop.call_soon_threadsafe(self._changed)

            self._models = ModelSupply(self._settings, changed)
        if self._models is not None:
            self._models.heed(offer)

    def holding(self) -> node_pb.ModelHolding | None:
        """For the farm; None while it offers nothing."""
        return self._models.holding() if self._models else None

    def close(self) -> None:
        """Bring and give nothing any more."""
        if self._models is not None:
            self._models.close()
