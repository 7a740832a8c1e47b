"""Rollouts of releases and models, as methods of a `Farm`."""

from __future__ import annotations

from collections.abc import Sequence

from farm.client.base import Calls, new_request_id
from heliostat.v1 import fleet_service_pb2 as pb


class RolloutCalls(Calls):
    """Another release or model for the cards: a few first, the others once that is accepted."""

    def upgrade(
        self,
        version: str,
        *,
        canary: int = 0,
        cards: Sequence[str] = (),
        at_once: int = 0,
        unattended: bool = False,
        by: str = "",
        request_id: str = "",
    ) -> pb.Rollout:
        """Bring a release of Heliostat, which is installed on their nodes, to the cards.

        `canary` cards begin, or those named; `at_once` follow together once it is accepted.
        """
        request = pb.StartRolloutRequest(
            request_id=request_id or new_request_id(),
            kind=pb.ROLLOUT_KIND_RELEASE,
            target=version,
            canary=canary,
            cards=cards,
            at_once=at_once,
            unattended=unattended,
            by=by,
        )
        return self._connection.call(self._fleet.StartRollout, request).rollout

    def roll_out_model(
        self,
        digest: str,
        source: str,
        *,
        name: str = "",
        canary: int = 0,
        cards: Sequence[str] = (),
        at_once: int = 0,
        by: str = "",
        request_id: str = "",
    ) -> pb.Rollout:
        """Bring a model to the nodes and, once it is accepted, to all cards.

        `source` is what `farm-node model fetch` takes; nodes keep the model under `name`.
        """
        request = pb.StartRolloutRequest(
            request_id=request_id or new_request_id(),
            kind=pb.ROLLOUT_KIND_MODEL,
            target=digest,
            source=source,
            name=name,
            canary=canary,
            cards=cards,
            at_once=at_once,
            by=by,
        )
        return self._connection.call(self._fleet.StartRollout, request).rollout

    def rollouts(self) -> Sequence[pb.Rollout]:
        """All of them without their cards, the newest first."""
        request = pb.ListRolloutsRequest()
        return self._connection.call(self._fleet.ListRollouts, request).rollouts

    def rollout(self, number: int = 0) -> pb.Rollout:
        """One with its cards; 0 is the one under way, else the latest."""
        request = pb.GetRolloutRequest(number=number)
        return self._connection.call(self._fleet.GetRollout, request).rollout

    def accept_rollout(self, number: int = 0, *, by: str = "", request_id: str = "") -> pb.Rollout:
        """Let the other cards follow, or go on where one has failed."""
        request = pb.DecideRolloutRequest(
            request_id=request_id or new_request_id(),
            number=number,
            decision=pb.DecideRolloutRequest.DECISION_ACCEPT,
            by=by,
        )
        return self._connection.call(self._fleet.DecideRollout, request).rollout

    def roll_back(
        self, number: int = 0, *, reason: str = "", by: str = "", request_id: str = ""
    ) -> pb.Rollout:
        """Have all its cards run again what they ran before."""
        request = pb.DecideRolloutRequest(
            request_id=request_id or new_request_id(),
            number=number,
            decision=pb.DecideRolloutRequest.DECISION_BACK,
            by=by,
            reason=reason,
        )
        return self._connection.call(self._fleet.DecideRollout, request).rollout
