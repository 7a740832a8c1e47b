"""What batches cost: counted with each recorded chunk, and held against their budgets."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from farm.domain.batch import Batch, BatchState, Budget
from farm.domain.clip import Clip
from farm.domain.quote import Spent
from farm.plan.board import Lease

if TYPE_CHECKING:
    from farm.coordinator.books import Books

NEAR: Final = 0.9
"""A batch that has used this part of a budget is near it."""


def chunk(
    books: Books,
    clip: Clip,
    card_id: str,
    *,
    seconds: float,
    joules: float | None = None,
    lanes: int = 1,
) -> None:
    """Count `seconds` of a card for a clip; without joules, its power cap over that time.

    Of 0 `lanes` is what came to nothing.
    """
    card = books.cards.get(card_id)
    if card is None or seconds <= 0:
        return
    row, measured = card.row, joules or 0.0
    if joules is None:
        joules = seconds * books.tariff.watts_of(row.card_type, row.power_cap_watts)
    money = books.tariff.money(row.card_type, seconds, joules)
    card.meter.claim(joules, lanes)
    books.spend(clip.batch_id, Spent(seconds, joules, money))
    books.usage.of(clip, card_seconds=seconds, joules=joules, measured_joules=measured, money=money)
    if not lanes:
        books.usage.of(clip, waste_card_seconds=seconds, waste_joules=joules, waste_money=money)


def wasted(books: Books, clip: Clip, lease: Lease | None, card_id: str, now: float) -> None:
    """Count what an attempt took since its last recorded chunk, estimated by the lease."""
    if lease is None or not lease.started or not clip.chunks_left:
        return
    lanes = sum(
        books.clips.leases[held.clip_id].started
        for held in books.clips.held_by(card_id)
        if held.clip_id in books.clips.leases
    )
    seconds = max(0.0, now - lease.since) / max(1, lanes)
    chunk(books, clip, card_id, seconds=seconds, lanes=0)


def budget_used(books: Books, batch: Batch) -> float:
    """The part of a batch's budget that is used, of its caps the one that ends first; 0 is none."""
    parts = (used / cap if cap > 0 else 1.0 for _, _, cap, used in _caps(books, batch))
    return max(parts, default=0.0)


def _caps(books: Books, batch: Batch) -> Iterator[tuple[str, str, float, float]]:
    """Of each cap that a batch has: name, what it is in, how much, and how much is used."""
    budget = batch.budget
    if budget == Budget():
        return
    spent = books.spent(batch)
    for name, what, cap, used in (
        ("money", books.tariff.currency, budget.money, spent.money),
        ("hours", "card hours", budget.hours, spent.hours),
        ("kwh", "kWh", budget.kilowatt_hours, spent.kilowatt_hours),
    ):
        if cap is not None:
            yield name, what, cap, used


def lost(books: Books, clip: Clip) -> None:
    """Count the same of a clip that is taken back from the card that holds it."""
    lease, holder = books.clips.leases.get(clip.clip_id), clip.holder
    if holder is not None:
        wasted(books, clip, lease, holder.card_id, books.clock.monotonic())


def over_budget(books: Books, batch: Batch) -> str:
    """Why a batch may not go on, with the remedy; empty: it may."""
    for name, what, cap, used in _caps(books, batch):
        if used >= cap:
            return (
                f"budget reached: {used:.4g} of {cap:g} {what}: "
                f"`farm amend {batch.batch_id} --budget {name}={1.5 * max(cap, used):.3g}`, "
                f"then `farm resume {batch.batch_id}`"
            )
    return ""


def pause_at_budgets(books: Books, batch_id: str = "") -> None:
    """Pause the open batches that have reached their budgets, all or one."""
    for batch in list(_with_budget(books, batch_id)):
        if reason := over_budget(books, batch):
            books.decide(replace(batch, state=BatchState.PAUSED, reason=reason), "budget", reason)


def _with_budget(books: Books, batch_id: str) -> Iterator[Batch]:
    """Open batches with a budget and with chunks to render."""
    entries = list(books.clips.entries())
    if batch_id:
        entry = books.clips.entry(batch_id)
        entries = [entry] if entry is not None else []
    for each in entries:
        if each.batch.budget != Budget() and each.is_open and each.chunks_left.total():
            yield each.batch
