"""The fleet and what projects share of it, as methods of a `Farm`, for asyncio.

Made of its twin in farm/client by tools/async_sdk.py: change that one.
"""

from __future__ import annotations

from collections.abc import Sequence

from farm.client.aio.base import AsyncCalls
from farm.client.base import new_request_id
from heliostat.v1 import fleet_service_pb2 as pb
from heliostat.v1 import types_pb2 as types


class AsyncFleetCalls(AsyncCalls):
    """Cards, nodes, projects, limits, circuits, and why something is as it is."""

    async def cards(self) -> Sequence[types.Card]:
        """Every card that the farm has heard of."""
        return (await self._connection.call(self._fleet.ListCards, pb.ListCardsRequest())).cards

    async def nodes(self) -> Sequence[pb.Node]:
        """Every machine that the farm has heard of, or decided something of."""
        return (await self._connection.call(self._fleet.ListNodes, pb.ListNodesRequest())).nodes

    async def fleet(self) -> pb.GetFleetResponse:
        """The whole fleet in a few numbers."""
        return await self._connection.call(self._fleet.GetFleet, pb.GetFleetRequest())

    async def why(self, subject: str) -> pb.WhyResponse:
        """Why a clip (its id, or BATCH/NAME), a batch, a card or a node is as it is."""
        return await self._connection.call(self._fleet.Why, pb.WhyRequest(subject=subject))

    async def set_standing(
        self,
        targets: Sequence[str],
        standing: types.Standing.ValueType,
        *,
        reason: str = "",
        request_id: str = "",
    ) -> Sequence[str]:
        """Decide what nodes (by hostname) or cards (by id) may do; all of them or none."""
        request = pb.SetStandingRequest(
            request_id=request_id or new_request_id(),
            targets=targets,
            standing=standing,
            reason=reason,
        )
        return (await self._connection.call(self._fleet.SetStanding, request)).targets

    async def set_node(
        self,
        hostname: str,
        *,
        schedule: str | None = None,
        circuit: str | None = None,
        request_id: str = "",
    ) -> pb.Node:
        """Decide when a node may render and what it hangs on; an empty text takes either away."""
        request = pb.SetNodeRequest(
            request_id=request_id or new_request_id(),
            hostname=hostname,
            schedule=schedule,
            circuit=circuit,
        )
        return (await self._connection.call(self._fleet.SetNode, request)).node

    async def projects(self) -> Sequence[pb.Project]:
        """All projects, with what they have and what they have had."""
        return (
            await self._connection.call(self._fleet.ListProjects, pb.ListProjectsRequest())
        ).projects

    async def set_project(
        self,
        name: str,
        *,
        weight: float | None = None,
        cap: int | None = None,
        no_cap: bool = False,
        burst: int | None = None,
        no_burst: bool = False,
        look: str | None = None,
        request_id: str = "",
    ) -> pb.Project:
        """Make a project, or change what is given of it; a look of "" unlocks it."""
        request = pb.SetProjectRequest(
            request_id=request_id or new_request_id(),
            name=name,
            weight=weight,
            cap=cap,
            no_cap=no_cap,
            burst=burst,
            no_burst=no_burst,
            look=look,
        )
        return (await self._connection.call(self._fleet.SetProject, request)).project

    async def limits(self) -> Sequence[pb.Limit]:
        """All named limits."""
        return (await self._connection.call(self._fleet.ListLimits, pb.ListLimitsRequest())).limits

    async def set_limit(self, name: str, most: int, *, request_id: str = "") -> None:
        """Let at most `most` clips of all batches that name it hold a card; 0 removes it."""
        request = pb.SetLimitRequest(
            request_id=request_id or new_request_id(), name=name, most=most
        )
        await self._connection.call(self._fleet.SetLimit, request)

    async def circuits(self) -> Sequence[pb.Circuit]:
        """All circuits."""
        return (
            await self._connection.call(self._fleet.ListCircuits, pb.ListCircuitsRequest())
        ).circuits

    async def set_circuit(self, name: str, watts: float, *, request_id: str = "") -> None:
        """Let the cards behind a circuit draw `watts` together; 0 removes it."""
        request = pb.SetCircuitRequest(
            request_id=request_id or new_request_id(), name=name, watts=watts
        )
        await self._connection.call(self._fleet.SetCircuit, request)

    async def fleet_events(self, target: str = "", *, most: int = 100) -> Sequence[pb.FleetEvent]:
        """What was decided of a node or card, or of all of them, the newest first."""
        request = pb.ListFleetEventsRequest(target=target, page_size=most)
        return (await self._connection.call(self._fleet.ListFleetEvents, request)).events
