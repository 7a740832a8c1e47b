"""Quotes and what was spent, as clients see them."""

from __future__ import annotations

from farm.domain.quote import Quote, Range, Spent
from farm.gateway.times import timestamp
from heliostat.v1 import types_pb2 as types_pb


def quote_view(told: Quote | None) -> types_pb.Quote | None:
    """A quote; what cannot be foreseen is absent."""
    if told is None:
        return None
    view = types_pb.Quote(
        quoted_at=timestamp(told.quoted_at),
        clips=told.clips,
        frames=told.frames,
        chunks=told.chunks,
        cards=told.cards,
        cards_measured=told.cards_measured,
        card_hours=_range(told.card_hours),
        hours=_range(told.hours),
        kilowatt_hours=_range(told.kilowatt_hours),
        electricity_money=_range(told.electricity_money),
        money=_range(told.money),
        money_per_clip=told.money_per_clip,
        h100_hours=told.h100_hours,
        h100_money=told.h100_money,
        h100_equivalents=told.h100_equivalents,
        cloud_money=_range(told.cloud_money),
        currency=told.currency,
        basis=told.basis,
        notes=told.notes,
        reused=told.reused,
    )
    if told.hours is not None:
        view.finish_at.CopyFrom(timestamp(told.finish(told.hours.likely)))
        view.finish_early.CopyFrom(timestamp(told.finish(told.hours.low)))
        view.finish_late.CopyFrom(timestamp(told.finish(told.hours.high)))
    return view


def spent_view(spent: Spent) -> types_pb.Spent:
    """What a batch has cost so far."""
    return types_pb.Spent(card_seconds=spent.card_seconds, joules=spent.joules, money=spent.money)


def _range(each: Range | None) -> types_pb.Range | None:
    if each is None:
        return None
    return types_pb.Range(likely=each.likely, low=each.low, high=each.high)
