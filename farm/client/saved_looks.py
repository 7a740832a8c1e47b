"""Saved looks through the SDK."""

from __future__ import annotations

from collections.abc import Sequence

from farm.client.base import Calls, new_request_id
from heliostat.v1 import fleet_service_pb2 as pb
from heliostat.v1 import types_pb2 as types


class SavedLooks(Calls):
    """A part of `Farm`."""

    def saved_looks(self) -> Sequence[types.SavedLook]:
        """All of them, by name."""
        request = pb.ListSavedLooksRequest()
        return self._connection.call(self._fleet.ListSavedLooks, request).looks

    def save_look(
        self, look: types.SavedLook, *, from_clip: str = "", request_id: str = ""
    ) -> types.SavedLook:
        """Save a look; what it leaves out is taken from a clip (its id, or BATCH/NAME).

        Raises `BadDecision` for a name that is taken: looks are never changed.
        """
        request = pb.SaveLookRequest(
            request_id=request_id or new_request_id(), look=look, from_clip=from_clip
        )
        return self._connection.call(self._fleet.SaveLook, request).look

    def forget_look(self, name: str, *, request_id: str = "") -> None:
        """Forget a look that no project is locked to."""
        request = pb.ForgetLookRequest(request_id=request_id or new_request_id(), name=name)
        self._connection.call(self._fleet.ForgetLook, request)
