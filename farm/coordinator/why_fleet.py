"""What the books know of a card or a node that somebody asks about."""

from __future__ import annotations

from farm.coordinator.books import Books
from farm.coordinator.cards import Card
from farm.coordinator.dispatch import Dispatch
from farm.coordinator.rollouts import Rollouts
from farm.domain.fleet import Standing
from farm.domain.hours import Hours
from farm.plan.why_fleet import READY, CardView, Decided, NodeView

HINDERED_MAX = 5
"""Batches named in an answer."""


def card_view(books: Books, dispatch: Dispatch, rollouts: Rollouts, card: Card) -> CardView:
    """All that an answer about a card is made of."""
    board, row, now = books.clips, card.row, books.clock.monotonic()
    held = board.held_by(row.card_id)
    hindered: list[tuple[str, str]] = []
    open_to = 0
    for entry in books.lineup.in_order(books.clock.now()):
        why = books.chooser.hindrances(entry, card.facts)
        if not why:
            open_to += entry.queued
        elif len(hindered) < HINDERED_MAX:
            hindered.append((entry.batch.name, "; ".join(why)))
    failed = card.examination.number and not card.examination.passed
    return CardView(
        online=_is_here(books, card),
        seen_seconds_ago=now - card.seen,
        condition=card.condition,
        decided=_decided(books, card.row.hostname, card),
        holds=tuple(clip.clip_id for clip in held),
        seconds_left=sum(map(board.units_of, held)) * books.cards.pace(row.card_id),
        examined=f"its examination found: {card.examination.detail}" if failed else "",
        no_power=dispatch.why_no_power(card),
        changing=card.standing_reason if card.standing is not card.decided else "",
        outdated=rollouts.about(card),
        queued=board.queued,
        hindered=tuple(hindered),
        open_to=open_to,
    )


def node_view(books: Books, dispatch: Dispatch, hostname: str) -> NodeView:
    """All that an answer about a node is made of."""
    cards = [card for card in books.cards if card.row.hostname == hostname]
    here = [card for card in cards if _is_here(books, card)]
    now = books.clock.monotonic()
    failing = [
        (card.row.card_id, card.row.standing_reason or card.row.standing)
        for card in here
        if card.row.standing is not Standing.OPEN
    ]
    failing += [
        (card.row.card_id, card.standing_reason)
        for card in here
        if card.standing is not card.decided
    ]
    failing += [
        (card.row.card_id, card.condition) for card in here if card.condition not in ("", READY)
    ]
    return NodeView(
        decided=_decided(books, hostname),
        cards=len(cards),
        here=len(here),
        working=sum(card.row.card_id in books.clips.busy for card in here),
        seen_seconds_ago=min((now - card.seen for card in cards), default=0.0),
        no_power=next((why for card in here if (why := dispatch.why_no_power(card))), ""),
        failing=tuple(failing),
    )


def _is_here(books: Books, card: Card) -> bool:
    return card.is_here(books.clock.monotonic(), books.policy.lease_seconds)


def _decided(books: Books, hostname: str, card: Card | None = None) -> Decided:
    """The stricter of what was decided of a card and of its node."""
    node, now = books.decided.nodes.get(hostname), books.clock.now()
    own = card.row.standing if card is not None else Standing.OPEN
    if card is not None and (node is None or own is card.standing is not Standing.OPEN):
        return Decided(target=card.row.card_id, standing=own, reason=card.row.standing_reason)
    if node is None:
        return Decided(target=hostname)
    hours = Hours.parse(node.schedule)
    if node.standing.keeps_clips and not hours.contains(now):
        opens = hours.next_change(now)
        return Decided(
            target=hostname,
            standing=Standing.PAUSED,
            by_hours=True,
            opens_in_seconds=opens - now if opens is not None else None,
        )
    return Decided(target=hostname, standing=node.standing, reason=node.reason)
