"""Quotes as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from farm.cli import output, words
from farm.plan.words import duration

if TYPE_CHECKING:
    from heliostat.v1 import types_pb2 as types

_BASIS = {
    "measured": "measured here",
    "calibrated": "from measured cards of the same type",
    "estimated": "estimated, not measured",
}


def show(quote: types.Quote) -> None:
    """The whole of it as a table, then its notes."""
    rows = list(_rows(quote))
    output.print_table(("what", "likely", "nine of ten cases", "basis"), rows, {1})
    for note in quote.notes:
        output.say(f"- {note}")


def _rows(quote: types.Quote) -> Iterator[tuple[str, str, str, str]]:
    basis = _BASIS.get(quote.basis, quote.basis)
    reused = f", {quote.reused:,} more are there already" if quote.reused else ""
    yield "to render", f"{words.plural(quote.clips, 'clip')}{reused}", "", ""
    yield "", words.plural(quote.chunks, "chunk"), f"{quote.frames:,} frames", ""
    measured = f"{quote.cards_measured} of them measured"
    yield "cards that may", f"{quote.cards:,}", measured, ""
    if quote.HasField("hours"):
        early, late = words.local_time(quote.finish_early), words.local_time(quote.finish_late)
        yield "done at", words.local_time(quote.finish_at), f"{early} to {late}", basis
        yield "takes", _span(quote.hours.likely), _spans(quote.hours), basis
        yield "cards at work", f"{quote.card_hours.likely:.3g} h", _numbers(quote.card_hours), basis
        energy = quote.kilowatt_hours
        yield "energy", f"{energy.likely:.3g} kWh", _numbers(energy), "cards' boards alone"
        power = quote.electricity_money
        money = quote.currency
        yield "electricity", f"{number(power.likely)} {money}", _numbers(power), "your tariff"
        whole = quote.money
        likely = f"{number(whole.likely)} {money}"
        yield "with the cards' wear", likely, _numbers(whole), "your prices"
        yield "of a clip", f"{number(quote.money_per_clip)} {money}", "", ""
    else:
        yield "done at", "cannot be foreseen", "", ""
    yield from _elsewhere(quote)


def _elsewhere(quote: types.Quote) -> Iterator[tuple[str, str, str, str]]:
    money = quote.currency
    if quote.h100_hours:
        rent = f"{quote.h100_money:.2f} {money}"
        yield "one H100", f"{quote.h100_hours:.3g} h", rent, "published rate, your price"
        yield "these cards are", f"{quote.h100_equivalents:.3g} H100s", "", "as above"
    cloud = quote.cloud_money
    yield "a cloud", f"{cloud.likely:.2f} {money}", _numbers(cloud), "its prices, as set"


def line(quote: types.Quote) -> str:
    """`done by 14:05 (13:50 to 14:30), 3.1 kWh, 1.20 USD; measured here`."""
    if not quote.HasField("hours"):
        return quote.notes[0] if quote.notes else "its end cannot be foreseen: there is no card"
    at, early, late = (
        words.local_time(stamp)
        for stamp in (quote.finish_at, quote.finish_early, quote.finish_late)
    )
    basis = _BASIS.get(quote.basis, quote.basis)
    return (
        f"should be done {at} ({early} to {late}), {quote.kilowatt_hours.likely:.3g} kWh, "
        f"{number(quote.money.likely)} {quote.currency} ({_numbers(quote.money)}); {basis}"
    )


def account(batch: types.Batch) -> Iterator[str]:
    """What was promised of a batch beside what became of it so far, a line for each."""
    spent, promise = batch.spent, batch.promise
    told = batch.HasField("promise") and promise.HasField("hours")
    when = "ended " + words.local_time(batch.ended_at) if batch.HasField("ended_at") else "not done"
    if told:
        early, late = words.local_time(promise.finish_early), words.local_time(promise.finish_late)
        yield f"promised {words.local_time(promise.finish_at)} ({early} to {late}), {when}"
    currency = promise.currency or "in the farm's currency"
    used = (
        (spent.card_seconds / 3600, promise.card_hours, "card hours", batch.budget.hours),
        (spent.joules / 3.6e6, promise.kilowatt_hours, "kWh", batch.budget.kilowatt_hours),
        (spent.money, promise.money, currency, batch.budget.money),
    )
    parts = []
    for number, promised, what, cap in used:
        of = f" of {promised.likely:.3g} promised" if told else ""
        limit = f", budget {cap:g}" if cap else ""
        parts.append(f"{number:.3g}{of} {what}{limit}")
    if told or spent.card_seconds:
        yield f"spent: {'; '.join(parts)}"


def _span(hours: float) -> str:
    return duration(3600 * hours)


def _spans(each: types.Range) -> str:
    return f"{_span(each.low)} to {_span(each.high)}"


def _numbers(each: types.Range) -> str:
    return f"{number(each.low)} to {number(each.high)}"


def number(value: float) -> str:
    """`1,204.50`, `0.00312`: no small amount is shown as nothing."""
    return f"{value:,.2f}" if value >= 1 or not value else f"{value:.3g}"
