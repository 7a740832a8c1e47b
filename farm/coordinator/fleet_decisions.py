"""What people decide of the fleet and of what is shared: nodes, cards, projects, limits, circuits,
looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from google.protobuf.message import Message

from farm.coordinator import asked
from farm.coordinator.books import Books
from farm.domain.errors import BadDecision, NotFound
from farm.domain.fleet import Node, Standing
from farm.domain.values import shown
from heliostat.v1 import fleet_service_pb2 as fleet_pb

Apply = Callable[[], int]
"""Carries a decision out, within a transaction; returns what it counts."""

_OPENED: Final = {
    Standing.LOCKED: "unlock",
    Standing.PAUSED: "resume",
    Standing.DRAINING: "resume",
    Standing.QUARANTINED: "release",
}
_CLOSED: Final = {
    Standing.LOCKED: "lock",
    Standing.PAUSED: "pause",
    Standing.DRAINING: "drain",
    Standing.QUARANTINED: "quarantine",
}


class FleetDecisions:
    """Decisions over the coordinator's books, as in `farm.coordinator.decisions`."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self.by_name: Mapping[str, tuple[type[Message], Callable[[Any], Apply]]] = {
            "SetStandingRequest": (fleet_pb.SetStandingRequest, self._set_standing),
            "SetNodeRequest": (fleet_pb.SetNodeRequest, self._set_node),
            "SetProjectRequest": (fleet_pb.SetProjectRequest, self._set_project),
            "SetLimitRequest": (fleet_pb.SetLimitRequest, self._set_limit),
            "SetCircuitRequest": (fleet_pb.SetCircuitRequest, self._set_circuit),
            "SaveLookRequest": (fleet_pb.SaveLookRequest, self._save_look),
            "ForgetLookRequest": (fleet_pb.ForgetLookRequest, self._forget_look),
        }

    def _set_standing(self, request: fleet_pb.SetStandingRequest) -> Apply:
        books, wanted = self._books, asked.standing_of(request.standing)
        if not request.targets:
            raise BadDecision("the request names no node and no card: `farm nodes` lists them")
        targets = dict.fromkeys(request.targets)
        hostnames = {card.row.hostname for card in books.cards} | books.decided.nodes.keys()
        for target in targets:
            if target not in hostnames and books.cards.get(target) is None:
                known = [*hostnames, *(card.row.card_id for card in books.cards)]
                hint = asked.did_you_mean(target, known)
                raise NotFound(f"there is no node or card {shown(target)}: {hint}see `farm nodes`")
        reason = "" if wanted is Standing.OPEN else request.reason

        def apply() -> int:
            for target in targets:
                # A node goes before a card of its name: so does `farm nodes`.
                if target in hostnames:
                    before = self._stand_node(target, wanted, reason)
                else:
                    before = books.cards.stand(target, wanted, reason)
                kind = _CLOSED.get(wanted) or _OPENED.get(before, "unlock")
                self._books.note(target, kind, request.reason)
            return len(targets)

        return apply

    def _stand_node(self, hostname: str, wanted: Standing, reason: str) -> Standing:
        """Returns the standing before."""
        node = self._books.decided.nodes.get(hostname) or Node(hostname=hostname)
        self._put_node(replace(node, standing=wanted, reason=reason))
        return node.standing

    def _set_node(self, request: fleet_pb.SetNodeRequest) -> Apply:
        decided = self._books.decided
        before = decided.nodes.get(request.hostname)
        node = asked.node_of(before, request, decided.circuits)

        def apply() -> int:
            self._put_node(node)
            if request.HasField("schedule"):
                self._books.note(node.hostname, "schedule", node.schedule or "always")
            if request.HasField("circuit"):
                self._books.note(node.hostname, "circuit", node.circuit or "none")
            return 1

        return apply

    def _put_node(self, node: Node) -> None:
        node = replace(node, changed_at=self._books.clock.now())
        self._books.decided.put_node(node)
        self._books.pending.nodes.append(node)

    def _set_project(self, request: fleet_pb.SetProjectRequest) -> Apply:
        books = self._books
        before = books.decided.projects.get(request.name)
        project = asked.project_of(before, request, books.decided.saved_looks)

        def apply() -> int:
            books.decided.put_project(project)
            books.pending.projects.append(project)
            cap = "none" if project.cap is None else project.cap
            burst = "none" if project.burst is None else project.burst
            detail = f"weight {project.weight:g}, cap {cap}, burst {burst}"
            detail += f", look {project.look}" if project.look else ""
            self._books.note(f"project {project.name}", "set", detail)
            return 1

        return apply

    def _set_limit(self, request: fleet_pb.SetLimitRequest) -> Apply:
        books = self._books
        limit = asked.limit_of(request, books.decided.limits)

        def apply() -> int:
            if limit is None:
                del books.decided.limits[request.name]
                books.pending.forgotten.append(("limit", request.name))
            else:
                books.decided.put_limit(limit)
                books.pending.limits.append(limit)
            most = "removed" if limit is None else f"{limit.most} clips at once"
            self._books.note(f"limit {request.name}", "set", most)
            return 1

        return apply

    def _set_circuit(self, request: fleet_pb.SetCircuitRequest) -> Apply:
        books, decided = self._books, self._books.decided
        circuit = asked.circuit_of(request, decided.circuits, decided.nodes.values())

        def apply() -> int:
            if circuit is None:
                del decided.circuits[request.name]
                books.pending.forgotten.append(("circuit", request.name))
            else:
                decided.put_circuit(circuit)
                books.pending.circuits.append(circuit)
            watts = "removed" if circuit is None else f"{circuit.watts:g} W"
            self._books.note(f"circuit {request.name}", "set", watts)
            return 1

        return apply

    def _save_look(self, request: fleet_pb.SaveLookRequest) -> Apply:
        books = self._books
        look = asked.saved_look_of(request.look, books.decided.saved_looks)

        def apply() -> int:
            books.decided.put_saved_look(look)
            books.pending.saved_looks.append(look)
            books.note(f"look {look.name}", "set", look.note)
            return 1

        return apply

    def _forget_look(self, request: fleet_pb.ForgetLookRequest) -> Apply:
        books, name = self._books, request.name
        if name not in books.decided.saved_looks:
            raise NotFound(f"there is no look {shown(name)}: `farm look list`")
        locked = [each.name for each in books.decided.projects.values() if each.look == name]
        if locked:
            raise BadDecision(
                f"project {', '.join(sorted(locked)[:5])} is locked to the look {shown(name)}: "
                f"`farm project set {locked[0]} --no-look` unlocks it"
            )

        def apply() -> int:
            del books.decided.saved_looks[name]
            books.pending.forgotten.append(("look", name))
            books.note(f"look {name}", "set", "removed")
            return 1

        return apply
