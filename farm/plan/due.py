"""How all batches with a deadline stand, looked at together: each after those that go before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from farm.domain.fleet import CardFacts
from farm.plan.board import Board, Entry
from farm.plan.deadline import Outlook, outlook
from farm.plan.lineup import Lineup
from farm.plan.match import matches
from farm.plan.policy import Policy


def outlook_of(
    board: Board,
    lineup: Lineup,
    entry: Entry,
    cards: Mapping[str, CardFacts],
    pace: Callable[[str], float],
    policy: Policy,
    *,
    unix_now: float,
    ahead: float = 0.0,
) -> Outlook | None:
    """How a batch stands, if all cards that match did nothing else; None without a deadline.

    `cards` are those that may take clips, `pace` says their seconds for a unit of cost, `ahead`
    is the cost of what goes before it on the same cards.
    """
    batch, qualities = entry.batch, tuple(+entry.qualities)
    if batch.deadline is None:
        return None
    return outlook(
        board.units_left(entry),
        board.longest(entry),
        [pace(i) for i, card in cards.items() if matches(batch.needs, card, *qualities)],
        now=unix_now,
        deadline=batch.deadline,
        policy=policy,
        ahead=ahead,
        was_urgent=lineup.is_urgent(batch.batch_id),
    )


def look_at_deadlines(
    board: Board,
    lineup: Lineup,
    cards: Mapping[str, CardFacts],
    pace: Callable[[str], float],
    policy: Policy,
    *,
    unix_now: float,
) -> list[tuple[Entry, Outlook]]:
    """The outlook of each open batch with a deadline; those that are near move up in the line-up.

    Earliest feasible first: a batch counts on what earlier deadlines leave, and one that cannot
    hold any more leaves everything to the others.
    """
    due = [
        (-entry.batch.priority, entry.batch.deadline, entry.number, entry)
        for entry in board.entries()
        if entry.batch.deadline is not None and entry.is_open
    ]
    found: list[tuple[Entry, Outlook]] = []
    urgent, ahead = {}, 0.0
    for _, deadline, _, entry in sorted(due, key=lambda each: each[:3]):
        seen = outlook_of(board, lineup, entry, cards, pace, policy, unix_now=unix_now, ahead=ahead)
        if seen is None:
            continue
        found.append((entry, seen))
        if seen.feasible:
            ahead += board.units_left(entry)
            if seen.urgent:
                urgent[entry.batch.batch_id] = deadline
    lineup.set_urgent(urgent)
    return found
