"""What people have decided beside batches: projects, limits, circuits, nodes, by their names."""

from __future__ import annotations

from farm.domain.fleet import Circuit, Node, Standing, stricter
from farm.domain.hours import Hours
from farm.domain.ledger import CardRow
from farm.domain.project import Limit, Project
from farm.ports import Store


class Decided:
    """A mirror of the store's small tables, read anew whenever a transaction has failed."""

    def __init__(self, store: Store) -> None:
        self.projects = {project.name: project for project in store.projects()}
        self.limits = {limit.name: limit for limit in store.limits()}
        self.circuits = {circuit.name: circuit for circuit in store.circuits()}
        self.nodes = {node.hostname: node for node in store.nodes()}

    def put_project(self, project: Project) -> None:
        """Add or replace a project."""
        self.projects[project.name] = project

    def put_limit(self, limit: Limit) -> None:
        """Add or replace a limit."""
        self.limits[limit.name] = limit

    def put_circuit(self, circuit: Circuit) -> None:
        """Add or replace a circuit."""
        self.circuits[circuit.name] = circuit

    def put_node(self, node: Node) -> None:
        """Add or replace what was decided of a node."""
        self.nodes[node.hostname] = node

    def standing_of(self, card: CardRow, at: float) -> tuple[Standing, str]:
        """The stricter of a card's own standing and its node's, with its reason.

        Outside its hours (`at` is Unix seconds) a node that is open is paused.
        """
        node = self.nodes.get(card.hostname)
        if node is None:
            return card.standing, card.standing_reason
        standing, reason = node.standing, node.reason
        if not Hours.parse(node.schedule).contains(at):
            standing = stricter(standing, Standing.PAUSED)
            if standing is not node.standing:
                reason = f"outside its hours, {node.schedule}"
        if stricter(card.standing, standing) is card.standing:
            return card.standing, card.standing_reason
        return standing, reason
