"""The options by which commands pick clips of a batch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from farm.client.clip_filter import ClipFilter

Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="COLUMN=VALUE[,VALUE]...",
        help="Only clips whose column has one of these values, in any case; * stands for "
        "anything. The batch's own columns, or name, version, state, card, prompt, seed, ...; "
        "may be repeated.",
    ),
]
ApprovedOnly = Annotated[bool, typer.Option("--approved", help="Only approved takes.")]
RejectedOnly = Annotated[bool, typer.Option("--rejected", help="Only rejected takes.")]
Unreviewed = Annotated[
    bool, typer.Option("--unreviewed", help="Only takes that nobody has reviewed yet.")
]
Latest = Annotated[
    bool, typer.Option("--latest", help="Only the latest version of each clip's name.")
]


def clip_filter(
    where: Sequence[str] | None,
    *,
    approved: bool = False,
    rejected: bool = False,
    unreviewed: bool = False,
    latest: bool = False,
    clips: Sequence[str] = (),
) -> ClipFilter:
    """What the options ask for; --approved and --rejected together are either of them."""
    from farm.client.clip_filter import ClipFilter
    from heliostat.v1 import types_pb2 as types

    columns: dict[str, list[str]] = {}
    for text in where or []:
        column, equals, values = text.partition("=")
        if not equals or not column.strip():
            raise typer.BadParameter(f"{text!r}: write it as shot=sh010", param_hint="--where")
        if column.strip() in columns:
            raise typer.BadParameter(
                f"{column.strip()} is asked for twice: write its values apart by commas",
                param_hint="--where",
            )
        columns[column.strip()] = [value.strip() for value in values.split(",")]
    verdicts = [types.Review.VERDICT_APPROVED] * approved
    verdicts += [types.Review.VERDICT_REJECTED] * rejected
    verdicts += [types.Review.VERDICT_UNSPECIFIED] * unreviewed
    return ClipFilter(where=columns, verdicts=verdicts, latest=latest, clips=clips)
