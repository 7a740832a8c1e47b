"""What failures lead to beside a retry: a card in quarantine, a batch on hold."""

from __future__ import annotations

from dataclasses import replace

from farm.coordinator.books import Books
from farm.domain.batch import BatchState
from farm.domain.clip import Clip
from farm.domain.fleet import Standing
from farm.plan.board import Entry
from farm.plan.failures import should_pause
from farm.plan.retry import Failure


def after_report(
    books: Books, clip: Clip, card_id: str, failure: Failure, message: str, now: float
) -> None:
    """Look at a card and a batch again, one of whose attempts has just failed."""
    reason = books.strikes.add(card_id, clip.clip_id, failure, now)
    if reason:
        quarantine(books, card_id, f"{reason}; the last one: {message}")
    pause_if_sick(books, clip.batch_id)


def quarantine(books: Books, card_id: str, reason: str) -> None:
    """Take a card out of work by the rule: it is examined, and comes back when it passes."""
    card = books.cards.get(card_id)
    if card is None or card.row.standing is Standing.QUARANTINED:
        return
    number = examination_number(books)
    books.cards.put(
        replace(
            card.row,
            standing=Standing.QUARANTINED,
            standing_reason=reason,
            examination=number,
        )
    )
    books.strikes.clear(card_id)
    books.note(card_id, "quarantine", reason)


def read_examinations(books: Books) -> None:
    """Cards that have been examined come back, or are examined again later."""
    now = books.clock.now()
    for card in list(books.cards):
        row, told = card.row, card.examination
        if row.standing is not Standing.QUARANTINED or not row.examination:
            continue
        if told.number == row.examination and told.passed:
            opened = replace(row, standing=Standing.OPEN, standing_reason="", examination=0)
            books.cards.put(opened)
            books.note(row.card_id, "release", f"passed its examination: {told.detail}")
        elif told.number == row.examination and (
            now - row.examination > books.policy.examine_again_seconds
        ):
            books.cards.put(replace(row, examination=examination_number(books)))
            books.note(row.card_id, "examine", f"failed its examination: {told.detail}")


def pause_if_sick(books: Books, batch_id: str) -> None:
    """Pause a batch of which too many clips have failed."""
    entry = books.clips.entry(batch_id)
    if entry is not None and entry.is_open and (reason := too_many_failed(books, entry)):
        paused = replace(entry.batch, state=BatchState.PAUSED, reason=reason)
        books.decide(paused, "pause", reason)


def too_many_failed(books: Books, entry: Entry) -> str:
    """Why a batch's failed clips are a reason to pause it; empty: they are none."""
    return should_pause(
        entry.failed,
        entry.clips,
        entry.batch.failures_max,
        books.policy,
        forgiven=entry.batch.failures_forgiven,
    )


def examination_number(books: Books) -> int:
    """One that no earlier examination had."""
    return int(books.clock.now())
