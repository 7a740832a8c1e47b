"""Which clips are asked to give up their cards at the next chunk boundary, and why.

Nothing is spent by it: a clip goes on elsewhere from its checkpoint. Three things ask for it: a
decision of a person or a rule about the card or the batch; a clip of higher rank that waits, for
any card (`preempt`) or behind another on its own; and a clip that another card would end sooner
(`tail`), when that card stands idle, or a deadline is near and the card renders something else.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from farm.domain.clip import Clip, ClipState
from farm.domain.fleet import CardFacts, Standing
from farm.domain.stacks import Bond
from farm.plan.blocked import is_blocked
from farm.plan.board import Board, Entry
from farm.plan.choose import Chooser
from farm.plan.lineup import Lineup
from farm.plan.match import matches
from farm.plan.policy import Policy
from farm.plan.preempt import Occupied, Wanting, victims
from farm.plan.tail import Idle, Move, Running, moves

Like = tuple[str, Bond]
"""A clip's quality, and what its card runs: it goes on with that alone."""


@dataclass(frozen=True, slots=True)
class Seat:
    """A card that is here, and what it may do."""

    facts: CardFacts
    standing: Standing
    standing_reason: str
    pace: float
    """Seconds for a unit of cost."""


@dataclass(frozen=True, slots=True)
class Displaced:
    """A clip that is to be given up, and the card that it is meant for, if any."""

    clip_id: str
    reason: str
    to_card: str = ""
    kept_seconds: float = 0.0
    """How long it is kept for that card from now: it comes after its chunk in render."""


def yields(
    board: Board,
    lineup: Lineup,
    chooser: Chooser,
    seats: Mapping[str, Seat],
    policy: Policy,
    *,
    unix_now: float,
) -> list[Displaced]:
    """All clips that are to be given up and were not asked for yet."""
    if not board.leases:
        return []
    asked = list(_by_decision(board, seats))
    gone = {each.clip_id for each in asked}
    asked += _for_rank(board, lineup, chooser, seats, gone, unix_now)
    gone |= {each.clip_id for each in asked}
    asked += _out_of_turn(board, lineup, gone)
    gone |= {each.clip_id for each in asked}
    asked += _from_the_tail(board, chooser, seats, gone, policy, unix_now)
    gone |= {each.clip_id for each in asked}
    asked += _for_deadlines(board, lineup, seats, gone, policy)
    return asked


def _by_decision(board: Board, seats: Mapping[str, Seat]) -> Iterator[Displaced]:
    """Clips of cards that may not go on, and of batches that are paused.

    Most of the time there are none, and no lease is looked at.
    """
    found: dict[str, str] = {}
    halted = {e.batch.batch_id: e.batch for e in board.entries() if e.held and not e.is_open}
    for clip_id in board.leases if halted else ():
        clip = board.get(clip_id)
        if clip is not None and (batch := halted.get(clip.batch_id)):
            found[clip_id] = f"its batch is {batch.state}: {batch.reason}"
    for card_id, seat in seats.items():
        if seat.standing is Standing.OPEN or seat.standing.keeps_clips:
            continue
        why = f": {seat.standing_reason}" if seat.standing_reason else ""
        for clip in board.held_by(card_id):
            found.setdefault(clip.clip_id, f"the card is {seat.standing}{why}")
    for clip_id, reason in found.items():
        if not board.leases[clip_id].yield_reason:
            yield Displaced(clip_id, reason)


def _for_rank(
    board: Board,
    lineup: Lineup,
    chooser: Chooser,
    seats: Mapping[str, Seat],
    gone: set[str],
    unix_now: float,
) -> Iterator[Displaced]:
    """Clips of lower rank than some that wait, on cards that those could use."""
    running = [entry for entry in board.entries() if entry.held]
    if not running:
        return
    lowest = max(lineup.rank(entry) for entry in running)
    waiting = [e for e in lineup.in_order(unix_now) if lineup.rank(e) < lowest]
    if not waiting:
        return
    occupied = [
        Occupied(
            card_id,
            max(lineup.rank(entry) for entry in _entries_of(board, card_id)),
            seats[card_id].pace * max(board.cost(c.work) for c in board.held_by(card_id)),
        )
        for card_id in board.busy
        if card_id in seats
        and seats[card_id].standing.takes_clips
        and not _is_yielding(board, card_id, gone)
    ]
    kept = Counter(c.batch_id for i in board.reserved if (c := board.get(i)) and not c.holder)
    free = _idle(board, seats)
    free += [c for c in board.busy if c in seats and _is_yielding(board, c, gone)]
    wanting = [
        Wanting(
            entry.batch.batch_id,
            lineup.rank(entry),
            min(entry.queued - kept[entry.batch.batch_id], chooser.room(entry)),
            partial(_fits, chooser, entry, seats),
            (entry.batch.needs, entry.batch.project, entry.batch.limits, entry.waiting),
        )
        for entry in waiting
    ]
    for card_id, batch_id in victims(wanting, occupied, free):
        winner = board.entry(batch_id)
        assert winner is not None
        for clip in board.held_by(card_id):
            entry = board.entry(clip.batch_id)
            if entry is not None and lineup.rank(entry) > lineup.rank(winner):
                yield Displaced(clip.clip_id, _why(lineup, winner))


def _out_of_turn(board: Board, lineup: Lineup, gone: set[str]) -> Iterator[Displaced]:
    """Clips in render while one of higher rank waits on the same card.

    A card begins with what is ready first, and a clip that goes on from a checkpoint has to fetch
    it: one without may overtake it, however long it is.
    """
    if len({lineup.rank(entry) for entry in board.entries() if entry.held}) < 2:
        return
    for card_id in board.busy:
        if len(held := board.held_by(card_id)) < 2 or _is_yielding(board, card_id, gone):
            continue
        waiting = [c for c in held if not board.leases[c.clip_id].started]
        winners = [entry for c in waiting if (entry := board.entry(c.batch_id))]
        if not winners:
            continue
        first = min(winners, key=lineup.rank)
        for clip in held:
            entry = board.entry(clip.batch_id)
            in_render = board.leases[clip.clip_id].started and clip.chunks_left
            if in_render and entry is not None and lineup.rank(entry) > lineup.rank(first):
                yield Displaced(clip.clip_id, _why(lineup, first))


def _from_the_tail(
    board: Board,
    chooser: Chooser,
    seats: Mapping[str, Seat],
    gone: set[str],
    policy: Policy,
    unix_now: float,
) -> Iterator[Displaced]:
    """Clips that an idle card would end sooner than the one that holds them.

    A card that something waits for is about to be busy, and so is one that a clip is on its way
    to: that may take a chunk's time, and many looks.
    """
    promised = _promised(board)
    idle = [card_id for card_id in _idle(board, seats) if card_id not in promised]
    if not idle:
        return
    cards = {card_id: seat.facts for card_id, seat in seats.items()}
    idle = [card_id for card_id in idle if not chooser.finds(cards[card_id], cards, unix_now)]
    movable = [entry for entry in board.entries() if entry.held and entry.is_open]
    for entry, like, running in _alike(movable, _running(board, seats, gone)):
        fitting = [c for c in idle if _may_move(entry, like, seats[c].facts)]
        if not fitting:
            continue
        places = [Idle(card_id, seats[card_id].pace) for card_id in fitting]
        for move in moves(running, places, resume_seconds=policy.resume_seconds):
            clip = board.get(move.clip_id)
            if clip is None or is_blocked(clip, move.to_card, (move.from_card,)):
                continue
            idle.remove(move.to_card)
            reason = f"card {move.to_card} is idle and would end it sooner"
            yield _moved(board, seats, move, reason, policy)


def _for_deadlines(
    board: Board, lineup: Lineup, seats: Mapping[str, Seat], gone: set[str], policy: Policy
) -> Iterator[Displaced]:
    """The last clips of batches with near deadlines go to faster cards, whatever those render.

    First the clip is given up where it is; once it waits, the card that it is kept for is.
    """
    near = [e for e in board.entries() if e.held and not e.queued and _is_near(lineup, e)]
    near.sort(key=lineup.rank)
    running_of, taken = _running(board, seats, gone) if near else {}, _promised(board)
    for entry, like, running in _alike(near, running_of):
        why, slowest = _why(lineup, entry), max(clip.pace for clip in running)
        lower = [
            (card_id, seat)
            for card_id, seat in seats.items()
            if seat.pace < slowest
            and card_id not in taken
            and seat.standing.takes_clips
            and _may_move(entry, like, seat.facts)
            and not _is_yielding(board, card_id, gone)
            and _is_below(board, lineup, card_id, entry)
        ]
        places = [Idle(card_id, seat.pace) for card_id, seat in lower]
        chunk = max(
            (s.pace * board.cost(clip.work) for c, s in lower for clip in board.held_by(c)),
            default=0.0,
        )
        for move in moves(running, places, resume_seconds=policy.resume_seconds + chunk):
            taken.add(move.to_card)
            reason = f"card {move.to_card} is faster, and {why}"
            yield _moved(board, seats, move, reason, policy)
    for clip_id, (card_id, _) in board.reserved.items():
        kept = board.get(clip_id)
        waits = board.entry(kept.batch_id) if kept and kept.state is ClipState.QUEUED else None
        if waits is None or card_id not in seats or not _is_near(lineup, waits):
            continue
        if _is_below(board, lineup, card_id, waits) and not _is_yielding(board, card_id, gone):
            for clip in board.held_by(card_id):
                yield Displaced(clip.clip_id, _why(lineup, waits))


def _moved(
    board: Board, seats: Mapping[str, Seat], move: Move, reason: str, policy: Policy
) -> Displaced:
    """What is kept for its next card as long as its chunk in render takes, and a while."""
    clip = board.get(move.clip_id)
    assert clip is not None
    chunk = board.cost(clip.work) * seats[move.from_card].pace
    return Displaced(move.clip_id, reason, move.to_card, policy.reserve_seconds + chunk)


def _promised(board: Board) -> set[str]:
    """Cards that clips are kept for."""
    return {card_id for card_id, _ in board.reserved.values()}


def _is_near(lineup: Lineup, entry: Entry) -> bool:
    return entry.is_open and lineup.is_urgent(entry.batch.batch_id)


def _is_below(board: Board, lineup: Lineup, card_id: str, entry: Entry) -> bool:
    """A card is at work, on lower ranks alone."""
    ranks = [lineup.rank(each) for each in _entries_of(board, card_id)]
    return bool(ranks) and min(ranks) > lineup.rank(entry)


def _may_move(entry: Entry, like: Like, card: CardFacts) -> bool:
    """A card could go on with clips in render of a batch: it has what the batch asks for, and runs
    what their cards run."""
    return card.bond == like[1] and matches(entry.batch.needs, card, like[0])


def _alike(
    entries: Iterable[Entry], running: Mapping[str, Mapping[Like, list[Running]]]
) -> Iterator[tuple[Entry, Like, list[Running]]]:
    """Clips in render of some batches, those together that may have the same cards."""
    for entry in entries:
        for like, clips in running.get(entry.batch.batch_id, {}).items():
            yield entry, like, clips


def _running(
    board: Board, seats: Mapping[str, Seat], gone: set[str]
) -> dict[str, dict[Like, list[Running]]]:
    """Clips that cards hold, by batch and by what they ask of a card; one that waits behind others
    has their time to wait too."""
    found: dict[str, dict[Like, list[Running]]] = {}
    for card_id in board.busy:
        seat, ahead = seats.get(card_id), 0.0
        for clip in board.held_by(card_id) if seat else ():
            units, lease = board.units_of(clip), board.leases[clip.clip_id]
            if seat is not None and not lease.yield_reason and clip.clip_id not in gone:
                chunk = board.cost(clip.work)
                running = Running(clip.clip_id, card_id, units, seat.pace, ahead, chunk)
                like = (clip.quality, seat.facts.bond)
                found.setdefault(clip.batch_id, {}).setdefault(like, []).append(running)
            ahead += units
    return found


def _idle(board: Board, seats: Mapping[str, Seat]) -> list[str]:
    busy = board.busy
    return [c for c, seat in seats.items() if seat.standing.takes_clips and c not in busy]


def _entries_of(board: Board, card_id: str) -> Iterator[Entry]:
    for clip in board.held_by(card_id):
        entry = board.entry(clip.batch_id)
        if entry is not None:
            yield entry


def _fits(chooser: Chooser, entry: Entry, seats: Mapping[str, Seat], card_id: str) -> bool:
    return chooser.may_have(entry, seats[card_id].facts)


def _is_yielding(board: Board, card_id: str, gone: set[str]) -> bool:
    held: list[Clip] = board.held_by(card_id)
    return any(board.leases[c.clip_id].yield_reason or c.clip_id in gone for c in held)


def _why(lineup: Lineup, winner: Entry) -> str:
    name = winner.batch.name
    if lineup.is_urgent(winner.batch.batch_id):
        return f"batch {name} would miss its deadline"
    return f"batch {name} of priority {winner.batch.priority} waits for a card"
