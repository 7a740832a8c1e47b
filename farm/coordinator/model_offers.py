"""Which nodes get a model from where, while it is rolled out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from farm.coordinator.books import Books
from farm.coordinator.cards import Card
from farm.domain.fleet import rack_of
from farm.domain.rollout import Rollout, RolloutState
from heliostat.v1 import node_service_pb2 as node_pb

NEIGHBOURS_MAX: Final = 16
WHOLE_MAX: Final = 8
"""Of them, nodes that have all of it, where others have parts."""
ELSEWHERE_MIN: Final = 4
"""Of them, nodes of other racks, where there are any: what a rack lost is still somewhere."""


def offer(books: Books, rollout: Rollout, card: Card, token: str) -> node_pb.ModelOffer | None:
    """What a card's node should bring to itself; None: nothing.

    Before the canary has passed, that is for the canary's nodes alone.
    """
    if rollout.state is RolloutState.BACK:
        return None
    seeds = _seeds(books, rollout)
    if rollout.state is RolloutState.CANARY and card.row.hostname not in seeds:
        return None
    return node_pb.ModelOffer(
        digest=rollout.target,
        name=rollout.name,
        source=rollout.source,
        token=token,
        pieces_sha256=rollout.pieces_sha256,
        seeds=card.row.hostname in seeds,
        neighbours=_neighbours(books, rollout, card),
        nodes=sorted(_givers(books, rollout.target)),
    )


def pieces_of(books: Books, rollout: Rollout) -> str:
    """SHA-256 of the table of pieces, as a node that began says which has all of the model."""
    seeds = _seeds(books, rollout)
    said = (
        card.holding.pieces_sha256
        for card in books.cards
        if card.row.hostname in seeds and _has_all(card, rollout.target)
    )
    return next(filter(None, said), "")


def lacks(card: Card, digest: str) -> str:
    """What a card's node lacks of a model, as the end of a sentence; empty: nothing."""
    held = card.holding
    if card.row.model_digest == digest or _has_all(card, digest):
        return ""
    if held.digest != digest:
        return "waits for its node to get the model"
    share = held.bytes / held.bytes_total if held.bytes_total else 0.0
    problem = f": {held.problem}" if held.problem else ""
    return f"waits for its node to get the model, {share:.0%} is there{problem}"


def _seeds(books: Books, rollout: Rollout) -> set[str]:
    """Hostnames of the cards that began."""
    return {
        card.row.hostname
        for change in books.rollouts.changes(rollout.number).values()
        if change.canary and (card := books.cards.get(change.card_id)) is not None
    }


def _has_all(card: Card, digest: str) -> bool:
    return card.holding.digest == digest and card.holding.complete


def _neighbours(books: Books, rollout: Rollout, card: Card) -> Iterator[node_pb.Neighbour]:
    """Nodes that give pieces: of its own rack first, the others so that each node asks others."""
    own, rack = card.row.hostname, rack_of(card.row.tags)
    givers = _givers(books, rollout.target)
    names = sorted(givers.keys() | {own})
    at = names.index(own)
    ring = [name for name in names[at + 1 :] + names[:at] if name in givers]
    near = {name for name in ring if rack and rack_of(givers[name].row.tags) == rack}
    ring.sort(key=lambda name: name not in near)
    whole = [name for name in ring if givers[name].holding.complete]
    parts = [name for name in ring if not givers[name].holding.complete]
    few = whole[: max(WHOLE_MAX, NEIGHBOURS_MAX - len(parts))]
    inside = [name for name in (*few, *parts) if name in near]
    beyond = [name for name in (*few, *parts) if name not in near]
    inside = inside[: NEIGHBOURS_MAX - min(ELSEWHERE_MIN, len(beyond))]
    for name in (*inside, *beyond)[:NEIGHBOURS_MAX]:
        held = givers[name].holding
        yield node_pb.Neighbour(node=name, url=held.url, certificate=held.certificate)


def _givers(books: Books, digest: str) -> dict[str, Card]:
    """By hostname: of the cards that are here and give pieces, the one that has most."""
    now, seconds, found = books.clock.monotonic(), books.policy.lease_seconds, dict[str, Card]()
    for card in books.cards:
        held = card.holding
        if held.digest == digest and held.url and card.is_here(now, seconds):
            best = found.get(card.row.hostname)
            if best is None or best.holding.bytes < held.bytes:
                found[card.row.hostname] = card
    return found
