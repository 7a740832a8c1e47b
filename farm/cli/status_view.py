"""The farm on one screen, for `farm status` and `farm top`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from farm.cli import words
from farm.cli.morning import Line

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from heliostat.v1 import fleet_service_pb2 as fleet_pb
    from heliostat.v1 import types_pb2 as types

DEAD_SHOWN: Final = 8
BATCH_HEADERS: Final = ("batch", "name", "project", "state", "due", "ended", "chunks", "clips")


def summary(fleet: fleet_pb.GetFleetResponse, cards: Sequence[types.Card]) -> RenderableType:
    """Cards and rates, what is dead and where, how long the queue is and what is at risk."""
    from rich.table import Table

    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column()
    grid.add_row("Fleet", _earning(fleet))
    grid.add_row("", words.rates(fleet))
    for text in _not_earning(cards):
        grid.add_row("", f"[red]{_escaped(text)}[/red]")
    grid.add_row("Backlog", _backlog(fleet))
    if fleet.HasField("next_deadline"):
        grid.add_row("Deadline", _deadline(fleet.next_deadline))
    return grid


def projects(lines: Sequence[Line], morning: datetime) -> Table:
    """What was promised by the morning, and what has become of it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column(f"by {morning:%a %d %b %H:%M}")
    for header in ("promised", "delivered", "failed", "to review", "open"):
        table.add_column(header, justify="right")
    for line in lines:
        failed = Text(f"{line.failed:,}", style="red" if line.failed else "")
        delivered = Text(f"{line.delivered:,}", style="yellow" if line.behind else "")
        table.add_row(
            Text(line.project, style="bold" if line is lines[-1] and len(lines) > 1 else ""),
            f"{line.promised:,}",
            delivered,
            failed,
            f"{line.to_review:,}",
            f"{line.open:,}",
        )
    return table


def batch_row(batch: types.Batch) -> tuple[str, ...]:
    """A batch under `BATCH_HEADERS`."""
    total = words.clips_of(batch)
    state = words.batch_state(batch)
    return (
        batch.batch_id,
        batch.name,
        batch.project,
        f"{state}: {batch.reason}" if batch.reason else state,
        words.local_time(batch.deadline) if batch.HasField("deadline") else "",
        f"{words.ended(batch)}/{total}",
        f"{batch.chunks_done}/{batch.chunks}",
        words.counts(batch.clips),
    )


def card_table(cards: Sequence[types.Card], most: int) -> Table:
    """The cards, those that earn first."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for header, justify in (
        ("card", "left"), ("host", "left"), ("type", "left"), ("state", "left"), ("FPS", "right"),
        ("power", "right"), ("heat", "right"), ("renders", "left"),
    ):  # fmt: skip
        table.add_column(header, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    order = sorted(cards, key=lambda card: (not card.clip_ids, not card.online, card.card_id))
    for card in order[:most]:
        seen = card.telemetry
        state = words.card_state(card)
        table.add_row(
            card.card_id,
            card.hostname,
            card.card_type,
            Text(state, style="" if card.online else "red"),
            f"{card.frames_per_second:.2f}",
            f"{seen.power_watts:.0f} W" if seen.HasField("power_watts") else "",
            f"{seen.temperature_celsius:.0f} °C" if seen.HasField("temperature_celsius") else "",
            ", ".join(card.clip_ids),
        )
    if len(order) > most:
        table.add_row(f"and {len(order) - most:,} more")
    return table


def _earning(fleet: fleet_pb.GetFleetResponse) -> str:
    text = f"{fleet.cards_earning:,} of {words.plural(fleet.cards, 'card')} earning"
    if fleet.calibrated_frames_per_second > 0:
        share = fleet.rendered_frames_per_second / fleet.calibrated_frames_per_second
        text += f" · {share:.0%} of their calibrated {fleet.calibrated_frames_per_second:.2f} FPS"
    return text


def _not_earning(cards: Sequence[types.Card]) -> list[str]:
    """Dead cards, by name and place, and those that a person or a rule has stopped."""
    found = []
    for card in cards:
        where = f"{card.card_id} ({card.card_type or 'card'} {card.slot} of {card.hostname})"
        if not card.online:
            found.append(f"dead: {where}, not heard of for {words.span(card.seen_seconds_ago)}")
        elif reason := words.stopped(card):
            found.append(f"{where} takes no clips: {reason}")
    if len(found) > DEAD_SHOWN:
        found[DEAD_SHOWN:] = [f"and {len(found) - DEAD_SHOWN} more: `farm cards`"]
    return found


def _backlog(fleet: fleet_pb.GetFleetResponse) -> str:
    if not words.open_clips(fleet.clips):
        return "nothing waits"
    if not fleet.HasField("backlog_seconds"):
        return "[red]no card takes clips[/red]"
    return f"{words.span(fleet.backlog_seconds)} of work for the cards that take clips"


def _deadline(ahead: fleet_pb.DeadlineAhead) -> str:
    who = _escaped(f"{ahead.batch_name} ({ahead.project}), {words.local_time(ahead.deadline)}")
    if not ahead.HasField("finish_at"):
        return f"[red]at risk: {who}: no card can render it[/red]"
    late = ahead.finish_at.ToSeconds() - ahead.deadline.ToSeconds()
    if ahead.at_risk:
        return f"[red]at risk: {who}: {words.span(late)} late at best[/red]"
    return f"{who}: {words.span(-late)} to spare at best"


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
