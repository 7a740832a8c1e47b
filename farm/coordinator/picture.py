"""Draws the picture of the farm that quotes are made from, out of memory alone."""

from __future__ import annotations

from collections import Counter

from farm.coordinator.books import Books
from farm.coordinator.cards import Card
from farm.domain.clip import Work
from farm.plan.board import Entry
from farm.plan.picture import BatchSeen, CardSeen, Held, Picture

WASTE_CHUNKS_MIN = 100
"""Recorded chunks before attempts that came to nothing are held against them."""


def draw(books: Books) -> Picture:
    """The farm now. Takes as long as there are cards, batches and leases; clips are counted."""
    now, board, totals = books.clock.monotonic(), books.clips, books.totals
    held: dict[str, Counter[tuple[Work, int]]] = {}
    for clip_id in board.leases:
        if (clip := board.get(clip_id)) is not None:
            sizes = held.setdefault(clip.batch_id, Counter())
            sizes[clip.work, clip.chunks_left] += 1
    known = totals.chunks_recorded >= WASTE_CHUNKS_MIN
    vain = totals.attempts_lost + totals.attempts_failed
    counted_on = books.cards.counted_on(now, books.policy.card_forgotten_seconds)
    return Picture(
        at=books.clock.now(),
        cards=tuple(_card(books, card, now) for card in counted_on),
        batches=tuple(
            _batch(books, entry, held.get(entry.batch.batch_id, Counter()))
            for entry in board.entries()
        ),
        projects=dict(board.projects),
        limits={name: limit.most for name, limit in board.limits.items()},
        timing=books.timings.of_all(),
        waste=vain / totals.chunks_recorded if known else 0.0,
        policy=books.policy,
    )


def _card(books: Books, card: Card, now: float) -> CardSeen:
    board, card_id = books.clips, card.row.card_id
    node = books.decided.nodes.get(card.row.hostname)
    clips = []
    for clip in board.held_by(card_id):
        lease = board.leases[clip.clip_id]
        seconds = now - lease.since if lease.started else 0.0
        clips.append(Held(clip.batch_id, clip.work, clip.chunks_left, lease.started, seconds))
    return CardSeen(
        facts=card.facts,
        standing=card.standing,
        schedule=node.schedule if node is not None else "",
        timing=books.timings.of(card_id),
        held=tuple(clips),
    )


def _batch(books: Books, entry: Entry, held: Counter[tuple[Work, int]]) -> BatchSeen:
    return BatchSeen(
        batch=entry.batch,
        waiting=entry.sizes - held,
        qualities=tuple(+entry.qualities),
        urgent=books.lineup.urgent_deadline(entry.batch.batch_id),
    )
