"""Options by which a batch is planned, shared by `farm submit` and `farm amend`."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from heliostat.v1 import types_pb2 as types

Deadline = Annotated[
    str | None,
    typer.Option(metavar="TIME", help="Done by 09:00 (the next), 2026-11-25T09:00, or +8h."),
]
CardType = Annotated[
    list[str] | None,
    typer.Option(
        "--card-type", metavar="TYPE", help="Only on such a card; repeat for any of them."
    ),
]
Vram = Annotated[
    str | None, typer.Option(metavar="SIZE", help="Only on cards with so much memory: 16G, 16GiB.")
]
Tag = Annotated[
    list[str] | None,
    typer.Option("--tag", help="Only on nodes with this tag; repeat for all of them."),
]
Profile = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Render with this profile alone, on cards that offer it (`farm cards`): exact, fast, "
        "fast-fp8.",
    ),
]
Model = Annotated[
    str | None, typer.Option(help="Only on cards with this model: its name, or 8 digits of digest.")
]
Stack = Annotated[
    str | None,
    typer.Option(
        metavar="ID",
        help="Only on cards with this stack, which a take's sidecar and `farm cards --json` name.",
    ),
]
Limit = Annotated[
    list[str] | None,
    typer.Option("--limit", metavar="NAME", help="Count against this limit; may be repeated."),
]
Order = Annotated[
    str | None,
    typer.Option(
        metavar="ORDER",
        help="longest first, file, or every:N (first, last and every N-th clip first).",
    ),
]
PauseAfter = Annotated[
    int | None,
    typer.Option(
        "--pause-after", min=0, metavar="CLIPS", help="Pause after so many failed; 0 is never."
    ),
]

Budget = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="money=20",
        help="Pause at this cost: money=, hours= (of cards) or kwh=; may be repeated.",
    ),
]
Webhook = Annotated[str | None, typer.Option(metavar="URL", help="Post notices of it there.")]
DeliverTo = Annotated[
    str | None,
    typer.Option("--deliver-to", metavar="PLACE", help="Where the farm puts finished takes."),
]


def budget_of(options: Sequence[str] | None) -> types.Budget | None:
    """`money=20`, `hours=`, `kwh=` as a budget; None when nothing was said."""
    from farm.cli.options import pairs
    from farm.client.batch_section import budget
    from farm.domain.values import BadValue

    if not options:
        return None
    try:
        return budget(pairs("--budget", options))
    except BadValue as bad:
        raise typer.BadParameter(f"{bad.what}: {bad.remedy}", param_hint="--budget") from None


def deadline_of(text: str | None) -> datetime | None:
    """A deadline from now on. Raises `typer.BadParameter`."""
    from farm.client.errors import BadRequest
    from farm.client.times import deadline

    try:
        return None if text is None else deadline(text, datetime.now(UTC))
    except BadRequest as bad:
        raise typer.BadParameter(str(bad), param_hint="--deadline") from None


def every_of(order: str | None) -> int | None:
    """`longest` → 0, `file` → 1, `every:N` → N. Raises `typer.BadParameter`."""
    from farm.client.batch_section import every
    from farm.domain.values import BadValue

    try:
        return None if order is None else every(order)
    except BadValue as bad:
        raise typer.BadParameter(f"{bad.what}: {bad.remedy}", param_hint="--order") from None


def needs_of(
    card_types: Sequence[str] | None,
    vram: str | None,
    tags: Sequence[str] | None,
    profile: str | None,
    model: str | None,
    stack: str | None,
) -> types.Needs | None:
    """What is asked of the cards; None when nothing was said. Raises `typer.BadParameter`."""
    from farm.client.errors import BadRequest
    from farm.client.times import memory_size
    from heliostat.v1 import types_pb2 as types

    if not (card_types or vram or tags or profile or model or stack):
        return None
    try:
        vram_bytes = memory_size(vram) if vram else 0
    except BadRequest as bad:
        raise typer.BadParameter(str(bad), param_hint="--vram") from None
    return types.Needs(
        card_types=card_types,
        vram_bytes=vram_bytes,
        tags=tags,
        profile=profile or "",
        model=model or "",
        stack_id=stack or "",
    )
