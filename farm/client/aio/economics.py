"""What the fleet is worth, through the SDK, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from farm.client.aio.base import AsyncCalls
from farm.client.economics import request_of
from farm.plan.money.scenario import Scenario
from heliostat.v1 import fleet_service_pb2 as pb


class AsyncEconomics(AsyncCalls):
    """A part of `Farm`."""

    async def economics(self, what_if: Scenario | None = None) -> pb.GetEconomicsResponse:
        """The fleet beside an H100, clouds and other models; with other figures in their place.

        Raises `BadRequest` for figures that cannot be.
        """
        request = request_of(what_if or Scenario())
        return await self._connection.call(self._fleet.GetEconomics, request)
