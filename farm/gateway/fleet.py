"""`FleetService`: what operators ask. Reads fleet and ledger, decides by the coordinator."""

from __future__ import annotations

from google.protobuf.message import Message

from farm.coordinator import asked
from farm.gateway.decisions import decide
from farm.gateway.economics import Economics
from farm.gateway.fleet_rows import circuit_views, limit_views, node_views, project_views
from farm.gateway.grpc_errors import Context, unary
from farm.gateway.logs import read_logs
from farm.gateway.rollouts import RolloutCalls
from farm.gateway.views import fleet_event_view
from farm.gateway.why import answer
from heliostat.v1 import fleet_service_pb2 as fleet_pb


class FleetService(RolloutCalls, Economics):
    """The calls of `fleet_service.proto`."""

    @unary
    async def ListNodes(  # noqa: N802 - the contract's name
        self, _request: fleet_pb.ListNodesRequest, _context: Context
    ) -> fleet_pb.ListNodesResponse:
        """The machines, by name; those of which something was decided too, be they here or not."""
        return fleet_pb.ListNodesResponse(nodes=await node_views(self._desk))

    @unary
    async def ListCards(  # noqa: N802
        self, _request: fleet_pb.ListCardsRequest, _context: Context
    ) -> fleet_pb.ListCardsResponse:
        """Every card, by machine and slot."""
        cards = (await self._desk.fleet.get()).cards
        order = sorted(cards, key=lambda card: (card.hostname, card.slot, card.card_id))
        return fleet_pb.ListCardsResponse(cards=order)

    @unary
    async def GetFleet(  # noqa: N802
        self, _request: fleet_pb.GetFleetRequest, _context: Context
    ) -> fleet_pb.GetFleetResponse:
        """The whole fleet in a few numbers."""
        return (await self._desk.fleet.get()).view

    @unary
    async def Why(  # noqa: N802
        self, request: fleet_pb.WhyRequest, _context: Context
    ) -> fleet_pb.WhyResponse:
        """Why a clip, a batch, a card or a node is as it is."""
        return await answer(self._desk, request.subject)

    @unary
    async def SetStanding(  # noqa: N802
        self, request: fleet_pb.SetStandingRequest, _context: Context
    ) -> fleet_pb.SetStandingResponse:
        """Decide what nodes or cards may do."""

        def check() -> Message:
            asked.standing_of(request.standing)
            return request

        await decide(self._desk, request, request.request_id, "", check)
        self._desk.fleet.forget()
        return fleet_pb.SetStandingResponse(targets=request.targets)

    @unary
    async def SetNode(  # noqa: N802
        self, request: fleet_pb.SetNodeRequest, _context: Context
    ) -> fleet_pb.SetNodeResponse:
        """Decide when a node may render, and which circuit it hangs on."""
        ledger, hostname = self._desk.ledger, request.hostname

        def check() -> Message:
            before = {node.hostname: node for node in ledger.nodes()}.get(hostname)
            asked.node_of(before, request, {circuit.name for circuit in ledger.circuits()})
            return request

        await decide(self._desk, request, request.request_id, "", check)
        self._desk.fleet.forget()
        nodes = [node for node in await node_views(self._desk) if node.hostname == hostname]
        return fleet_pb.SetNodeResponse(node=nodes[0] if nodes else None)

    @unary
    async def ListProjects(  # noqa: N802
        self, _request: fleet_pb.ListProjectsRequest, _context: Context
    ) -> fleet_pb.ListProjectsResponse:
        """All projects, with what they have and what they have had."""
        return fleet_pb.ListProjectsResponse(projects=await project_views(self._desk))

    @unary
    async def SetProject(  # noqa: N802
        self, request: fleet_pb.SetProjectRequest, _context: Context
    ) -> fleet_pb.SetProjectResponse:
        """Make a project, or decide its weight, cap and burst."""
        ledger = self._desk.ledger

        def check() -> Message:
            known = {project.name: project for project in ledger.projects()}
            looks = {look.name for look in ledger.saved_looks()}
            asked.project_of(known.get(request.name), request, looks)
            return request

        await decide(self._desk, request, request.request_id, "", check)
        views = {view.name: view for view in await project_views(self._desk)}
        return fleet_pb.SetProjectResponse(project=views[request.name])

    @unary
    async def ListLimits(  # noqa: N802
        self, _request: fleet_pb.ListLimitsRequest, _context: Context
    ) -> fleet_pb.ListLimitsResponse:
        """All named limits, and how much of each is in use."""
        return fleet_pb.ListLimitsResponse(limits=await limit_views(self._desk))

    @unary
    async def SetLimit(  # noqa: N802
        self, request: fleet_pb.SetLimitRequest, _context: Context
    ) -> fleet_pb.SetLimitResponse:
        """Make, change or remove a named limit."""
        ledger = self._desk.ledger

        def check() -> Message:
            asked.limit_of(request, {limit.name for limit in ledger.limits()})
            return request

        await decide(self._desk, request, request.request_id, "", check)
        return fleet_pb.SetLimitResponse()

    @unary
    async def ListCircuits(  # noqa: N802
        self, _request: fleet_pb.ListCircuitsRequest, _context: Context
    ) -> fleet_pb.ListCircuitsResponse:
        """All circuits, with what hangs on them."""
        return fleet_pb.ListCircuitsResponse(circuits=await circuit_views(self._desk))

    @unary
    async def SetCircuit(  # noqa: N802
        self, request: fleet_pb.SetCircuitRequest, _context: Context
    ) -> fleet_pb.SetCircuitResponse:
        """Make, change or remove a circuit."""
        ledger = self._desk.ledger

        def check() -> Message:
            known = {circuit.name for circuit in ledger.circuits()}
            asked.circuit_of(request, known, ledger.nodes())
            return request

        await decide(self._desk, request, request.request_id, "", check)
        return fleet_pb.SetCircuitResponse()

    @unary
    async def ListFleetEvents(  # noqa: N802
        self, request: fleet_pb.ListFleetEventsRequest, _context: Context
    ) -> fleet_pb.ListFleetEventsResponse:
        """What was decided of the fleet, the newest first."""
        limits, ledger = self._desk.limits, self._desk.ledger
        size = min(request.page_size, limits.page_max) or limits.page_default
        rows = await self._desk.threads.run(ledger.fleet_events, request.target, limit=size)
        return fleet_pb.ListFleetEventsResponse(events=[fleet_event_view(row) for row in rows])

    @unary
    async def ReadLogs(  # noqa: N802
        self, request: fleet_pb.ReadLogsRequest, _context: Context
    ) -> fleet_pb.ReadLogsResponse:
        """Lines of the logs of head and nodes."""
        return await read_logs(self._desk, request)
