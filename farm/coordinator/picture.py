"""Draws the picture of the farm that quotes are made from, out of memory alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from farm.coordinator.books import Books
from farm.coordinator.cards import Card
from farm.domain.clip import ClipState, Work
from farm.plan.board import Board, Entry
from farm.plan.picture import ORDERED_MAX, BatchSeen, CardSeen, Held, Kept, Picture

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
    few = sum(entry.queued for entry in board.entries()) <= ORDERED_MAX
    known = totals.chunks_recorded >= WASTE_CHUNKS_MIN
    vain = totals.attempts_lost + totals.attempts_failed
    counted_on = books.cards.counted_on(now, books.policy.card_forgotten_seconds)
    return Picture(
        at=books.clock.now(),
        cards=tuple(_card(books, card, now) for card in counted_on),
        batches=tuple(
            _batch(books, entry, held.get(entry.batch.batch_id, Counter()), in_order=few)
            for entry in board.entries()
        ),
        projects=dict(board.projects),
        limits={name: limit.most for name, limit in board.limits.items()},
        timing=books.timings.of_all(),
        waste=vain / totals.chunks_recorded if known else 0.0,
        policy=books.policy,
        kept=tuple(_kept(board)),
    )


def _card(books: Books, card: Card, now: float) -> CardSeen:
    board, card_id = books.clips, card.row.card_id
    node = books.decided.nodes.get(card.row.hostname)
    clips = []
    for clip in board.held_by(card_id):
        lease = board.leases[clip.clip_id]
        kept_for, _ = board.reserved.get(clip.clip_id, ("", 0.0))
        clips.append(
            Held(
                clip.batch_id,
                clip.work,
                clip.chunks_left,
                lease.started,
                now - lease.since if lease.started else 0.0,
                is_new=books.timings.is_new(clip.clip_id),
                yielding=bool(lease.yield_reason),
                heard=bool(lease.yield_reason) and card.seen > lease.asked,
                kept_for=kept_for,
            )
        )
    measured = card.facts.pace > 0
    return CardSeen(
        facts=replace(card.facts, pace=books.cards.pace(card_id)) if measured else card.facts,
        standing=card.standing,
        schedule=node.schedule if node is not None else "",
        timing=books.timings.of(card_id),
        held=tuple(clips),
        silent=now - card.seen,
        spare=max(0, card.capacity - card.facts.lanes - sum(not c.chunks_left for c in clips)),
    )


def _kept(board: Board) -> Iterator[Kept]:
    for clip_id, (card_id, _) in board.reserved.items():
        clip = board.get(clip_id)
        if clip is not None and clip.state is ClipState.QUEUED:
            yield Kept(clip.batch_id, clip.work, clip.chunks_left, card_id)


def _batch(
    books: Books, entry: Entry, held: Counter[tuple[Work, int]], *, in_order: bool
) -> BatchSeen:
    queue = books.clips.in_order(entry) if in_order else ()
    return BatchSeen(
        batch=entry.batch,
        waiting=entry.sizes - held,
        order=tuple((clip.work, clip.chunks_left) for clip in queue),
        qualities=tuple(+entry.qualities),
        urgent=books.lineup.urgent_deadline(entry.batch.batch_id),
    )
