"""What people have decided beside batches, by name: projects, limits, circuits, looks and so on."""

from __future__ import annotations

from farm.domain.fleet import Circuit, Node
from farm.domain.project import Limit, Project
from farm.domain.saved_look import SavedLook
from farm.ports import Store


class Decided:
    """A mirror of the store's small tables, read anew whenever a transaction has failed."""

    def __init__(self, store: Store) -> None:
        self.projects = {project.name: project for project in store.projects()}
        self.limits = {limit.name: limit for limit in store.limits()}
        self.circuits = {circuit.name: circuit for circuit in store.circuits()}
        self.saved_looks = {look.name: look for look in store.saved_looks()}
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

    def put_saved_look(self, look: SavedLook) -> None:
        """Add a look."""
        self.saved_looks[look.name] = look

    def put_node(self, node: Node) -> None:
        """Add or replace what was decided of a node."""
        self.nodes[node.hostname] = node
