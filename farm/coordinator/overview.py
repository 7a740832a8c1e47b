"""The whole fleet in a few numbers: what earns, how fast, how long for, and what is at risk."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Final

from farm.coordinator.alarms import alarms
from farm.coordinator.books import Books
from farm.coordinator.duties import Duties
from farm.coordinator.usage import usage_view
from farm.domain.clip import CHUNK_FRAMES
from farm.domain.ledger import Totals
from farm.plan.board import Entry
from farm.plan.deadline import Outlook, quick_bound
from heliostat.v1 import fleet_service_pb2 as fleet_pb

ANY_CARD: Final = "any"
"""Stands for clips that any type of card may render."""


def overview(
    books: Books,
    duties: Duties,
    online: Collection[str],
    earning: Mapping[str, float],
    now: float,
) -> fleet_pb.GetFleetResponse:
    """From memory, and how full the disk is.

    `online` are the ids of cards that were heard of lately, `earning` is what `earnings` says of
    them. Totals are those that are written down: after a restart they go on from there, never back.
    """
    cards, board = books.cards, books.clips
    view = fleet_pb.GetFleetResponse(
        cards=len(cards),
        cards_online=len(online),
        cards_earning=len(earning),
        rendered_frames_per_second=cards.rendered.rate(now),
        delivered_frames_per_second=cards.delivered.rate(now),
        calibrated_frames_per_second=sum(earning.values()),
        h100_equivalents=cards.h100.rate(now),
        batches_open=len(board.entries()),
        epoch=books.epoch,
        backlog_seconds=_backlog_seconds(books),
        next_deadline=_next_deadline(books, duties),
        queues=duties.queues.views(board.entries(), books.clock.now()),
        coordinator=books.stats.view(books.store.free_bytes()),
        alarms=alarms(books, duties.is_late),
    )
    for entry in board.entries():
        if entry.is_open and entry.queued:
            for card_type in entry.batch.needs.card_types or (ANY_CARD,):
                view.cards_wanted[card_type] += entry.queued
    view.usage.CopyFrom(usage_view(books.usage.total, books.tariff.currency))
    for name in Totals.__dataclass_fields__:
        setattr(view.totals, name, getattr(books.totals_written, name))
    return view


def earnings(books: Books, online: Collection[str]) -> Mapping[str, float]:
    """Cards that render now, and the frames a second that each should make of what it has.

    A chunk of 33 frames takes the card's pace times the chunk's cost.
    """
    board, found = books.clips, {}
    for card_id in online:
        begun = [clip for clip in board.held_by(card_id) if board.leases[clip.clip_id].started]
        if begun:
            seconds = books.cards.pace(card_id) * board.cost(begun[0].work)
            found[card_id] = CHUNK_FRAMES / seconds if seconds > 0 else 0.0
    return found


def _backlog_seconds(books: Books) -> float | None:
    """What is open, on all cards that take clips, if they did nothing else; None without one."""
    paces = [books.cards.pace(card_id) for card_id in books.working_cards()]
    if not paces:
        return None
    board = books.clips
    units = sum(board.units_left(entry) for entry in board.entries() if entry.is_open)
    return quick_bound(units, 0.0, paces)


def _next_deadline(books: Books, duties: Duties) -> fleet_pb.DeadlineAhead | None:
    """The first deadline that cannot be kept, else the first of all."""
    found: list[tuple[bool, float, Entry, Outlook]] = []
    for entry in books.clips.entries():
        if entry.batch.deadline is not None and (seen := duties.outlook(entry)) is not None:
            found.append((seen.feasible, entry.batch.deadline, entry, seen))
    if not found:
        return None
    feasible, deadline, entry, seen = min(found, key=lambda each: each[:2])
    ahead = fleet_pb.DeadlineAhead(
        batch_id=entry.batch.batch_id,
        batch_name=entry.batch.name,
        project=entry.batch.project,
        at_risk=not feasible,
    )
    ahead.deadline.FromDatetime(datetime.fromtimestamp(deadline, tz=UTC))
    if math.isfinite(seen.finish):
        ahead.finish_at.FromDatetime(datetime.fromtimestamp(seen.finish, tz=UTC))
    return ahead
