"""Nodes, projects, limits and circuits as operators see them: decided, and in use."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable

from farm.domain.clip import ClipState
from farm.domain.fleet import Node
from farm.domain.hours import Hours
from farm.gateway.desk import Desk
from farm.gateway.views import STANDINGS
from farm.plan.policy import Policy
from farm.plan.share import shares
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb


async def node_views(desk: Desk) -> list[fleet_pb.Node]:
    """Nodes by hostname: those with cards, and those of which something was decided."""
    cards = (await desk.fleet.get()).cards
    decided = {node.hostname: node for node in await desk.threads.run(desk.ledger.nodes)}
    views: dict[tuple[str, str], fleet_pb.Node] = {}
    for card in cards:
        key = (card.hostname, card.node_id)
        if key not in views:
            node = decided.get(card.hostname, Node(hostname=card.hostname))
            views[key] = _node_view(node, card.node_id)
        views[key].cards += 1
        views[key].cards_online += card.online
    with_cards = {hostname for hostname, _ in views}
    for hostname in decided.keys() - with_cards:
        views[hostname, ""] = _node_view(decided[hostname], "")
    return [views[key] for key in sorted(views)]


def _node_view(node: Node, node_id: str) -> fleet_pb.Node:
    return fleet_pb.Node(
        node_id=node_id,
        hostname=node.hostname,
        standing=STANDINGS[node.standing],
        reason=node.reason,
        schedule=node.schedule,
        circuit=node.circuit,
        in_hours=Hours.parse(node.schedule).contains(time.time()),
    )


async def project_views(desk: Desk) -> list[fleet_pb.Project]:
    """Projects by name, with their shares of late, the cards that they have and what waits."""
    cards = (await desk.fleet.get()).cards
    ledger = desk.ledger

    def read() -> list[fleet_pb.Project]:
        projects, counts = ledger.projects(), ledger.project_counts()
        of_batch = {i: ledger.find_batch(i).project for i in _batches_of(desk, cards)}
        holding: Counter[str] = Counter()
        for batches in _batches_by_card(desk, cards).values():
            holding.update({of_batch[batch_id] for batch_id in batches})
        half_life = Policy().share_half_life_seconds
        shared = shares(projects, now=time.time(), half_life_seconds=half_life)
        return [
            fleet_pb.Project(
                name=project.name,
                weight=project.weight,
                look=project.look,
                cap=project.cap,
                burst=project.burst,
                share=shared[project.name].had,
                entitled=shared[project.name].entitled,
                cards=holding[project.name],
                clips_waiting=counts.get(project.name, {}).get(ClipState.QUEUED, 0),
            )
            for project in projects
        ]

    return await desk.threads.run(read)


async def limit_views(desk: Desk) -> list[fleet_pb.Limit]:
    """Named limits, with how many clips of batches that name each hold a card now."""
    cards = (await desk.fleet.get()).cards
    ledger = desk.ledger

    def read() -> list[fleet_pb.Limit]:
        used: Counter[str] = Counter()
        for batch_id, clips in _batches_of(desk, cards).items():
            for name in ledger.find_batch(batch_id).limits:
                used[name] += clips
        return [
            fleet_pb.Limit(name=limit.name, most=limit.most, used=used[limit.name])
            for limit in ledger.limits()
        ]

    return await desk.threads.run(read)


async def circuit_views(desk: Desk) -> list[fleet_pb.Circuit]:
    """Circuits by name, with what hangs on them and what works there now."""
    cards = (await desk.fleet.get()).cards
    ledger = desk.ledger
    nodes, circuits = await desk.threads.run(lambda: (ledger.nodes(), ledger.circuits()))
    behind: dict[str, list[str]] = {circuit.name: [] for circuit in circuits}
    for node in nodes:
        if node.circuit in behind:
            behind[node.circuit].append(node.hostname)
    return [
        fleet_pb.Circuit(
            name=circuit.name,
            watts=circuit.watts,
            watts_used=sum(
                card.power_cap_watts
                for card in cards
                if card.clip_ids and card.hostname in behind[circuit.name]
            ),
            nodes=behind[circuit.name],
        )
        for circuit in circuits
    ]


def _batches_by_card(desk: Desk, cards: Iterable[types_pb.Card]) -> dict[str, list[str]]:
    """Card → the batch of each clip that it holds."""
    held = {clip_id: card.card_id for card in cards for clip_id in card.clip_ids}
    found: dict[str, list[str]] = {}
    for clip_id, row in desk.ledger.clip_rows(list(held)).items():
        found.setdefault(held[clip_id], []).append(row.clip.batch_id)
    return found


def _batches_of(desk: Desk, cards: Iterable[types_pb.Card]) -> Counter[str]:
    """Batch → its clips that cards hold."""
    return Counter(
        batch_id for batches in _batches_by_card(desk, cards).values() for batch_id in batches
    )
