"""Saved looks through the SDK, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import Sequence

from farm.client.aio.base import AsyncCalls
from farm.client.base import new_request_id
from heliostat.v1 import fleet_service_pb2 as pb
from heliostat.v1 import types_pb2 as types


class AsyncSavedLooks(AsyncCalls):
    """A part of `Farm`."""

    async def saved_looks(self) -> Sequence[types.SavedLook]:
        """All of them, by name."""
        request = pb.ListSavedLooksRequest()
        return (await self._connection.call(self._fleet.ListSavedLooks, request)).looks

    async def save_look(
        self, look: types.SavedLook, *, from_clip: str = "", request_id: str = ""
    ) -> types.SavedLook:
        """Save a look; what it leaves out is taken from a clip (its id, or BATCH/NAME).

        Raises `BadDecision` for a name that is taken: looks are never changed.
        """
        request = pb.SaveLookRequest(
            request_id=request_id or new_request_id(), look=look, from_clip=from_clip
        )
        return (await self._connection.call(self._fleet.SaveLook, request)).look

    async def forget_look(self, name: str, *, request_id: str = "") -> None:
        """Forget a look that no project is locked to."""
        request = pb.ForgetLookRequest(request_id=request_id or new_request_id(), name=name)
        await self._connection.call(self._fleet.ForgetLook, request)
