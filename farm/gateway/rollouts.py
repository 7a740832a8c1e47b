"""Rollouts: what operators ask of them, and decide."""

from __future__ import annotations

import time

from google.protobuf.message import Message

from farm.coordinator.rollout_decisions import asked_for, found
from farm.coordinator.rollout_views import change_views, rollout_view
from farm.gateway.decisions import decide
from farm.gateway.grpc_errors import Context, unary
from farm.gateway.usage import UsageCalls
from heliostat.v1 import fleet_service_pb2 as fleet_pb


class RolloutCalls(UsageCalls):
    """The calls about rollouts; `FleetService` adds the others."""

    @unary
    async def StartRollout(  # noqa: N802 - the contract's name
        self, request: fleet_pb.StartRolloutRequest, _context: Context
    ) -> fleet_pb.StartRolloutResponse:
        """Bring another release or model to the cards, a few first."""

        def check() -> Message:
            asked_for(request, 1, time.time())
            return request

        answer = await decide(self._desk, request, request.request_id, "", check)
        return fleet_pb.StartRolloutResponse(rollout=await self._rollout(answer.result))

    @unary
    async def ListRollouts(  # noqa: N802
        self, _request: fleet_pb.ListRolloutsRequest, _context: Context
    ) -> fleet_pb.ListRolloutsResponse:
        """The newest first."""
        rollouts = await self._desk.threads.run(self._desk.ledger.rollouts)
        return fleet_pb.ListRolloutsResponse(rollouts=map(rollout_view, reversed(rollouts)))

    @unary
    async def GetRollout(  # noqa: N802
        self, request: fleet_pb.GetRolloutRequest, _context: Context
    ) -> fleet_pb.GetRolloutResponse:
        """One with its cards."""
        return fleet_pb.GetRolloutResponse(rollout=await self._rollout(request.number))

    @unary
    async def DecideRollout(  # noqa: N802
        self, request: fleet_pb.DecideRolloutRequest, _context: Context
    ) -> fleet_pb.DecideRolloutResponse:
        """Accept one, or go back."""
        answer = await decide(self._desk, request, request.request_id, "", lambda: request)
        return fleet_pb.DecideRolloutResponse(rollout=await self._rollout(answer.result))

    async def _rollout(self, number: int) -> fleet_pb.Rollout:
        """As it is now where the coordinator tells of it, else as it was written; 0 is the latest.

        Raises `NotFound`.
        """
        ledger = self._desk.ledger

        def read() -> fleet_pb.Rollout:
            rollout = found({each.number: each for each in ledger.rollouts()}, number)
            changes = ledger.rollout_cards(rollout.number)
            view = rollout_view(rollout)
            view.cards.extend(change_views(changes))
            for change in changes:
                view.cards_by_step[change.step] += 1
            return view

        view = await self._desk.threads.run(read)
        self._desk.fleet.forget()  # what it remembers may be older than the ledger
        live = {each.number: each for each in (await self._desk.fleet.get()).view.rollouts}
        now = live.get(view.number)
        return now if now is not None and now.cards else view
