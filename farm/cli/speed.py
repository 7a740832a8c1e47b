"""`farm speed`: how fast types of cards render, as predicted, calibrated and measured."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output
from farm.cli.bench_files import Bench, read_calibrations
from farm.cli.options import Json, command

if TYPE_CHECKING:
    from farm.cli.speed_view import Question


def _matching(incomplete: str) -> list[str]:
    """Types of cards, for the shell."""
    from farm.plan.card_table import CARDS

    return [name for name in CARDS if name.startswith(incomplete.lower())]


CardTypes = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="CARD-TYPE",
        help="rtx-4060-ti, h100, …; none is all that are known, or those of --bench.",
        autocompletion=_matching,
        show_default=False,
    ),
]


@command
def speed(
    card_types: CardTypes = None,
    bench: Bench = None,
    steps: Annotated[str, typer.Option(help="Of each stage.")] = "1,1,1",
    size: Annotated[str, typer.Option(metavar="WIDTHxHEIGHT")] = "640x384",
    lanes: Annotated[int, typer.Option(min=1, max=64, help="Clips in lockstep.")] = 1,
    as_json: Json = False,
) -> int:
    """Say how fast cards should render Helios-Distilled, for each way of running it.

    Cards that are named or measured are shown in detail: the parts of a chunk of 33 frames,
    and what was measured beside what was predicted.
    """
    from farm.cli import speed_view

    question = _question(steps, size, lanes)
    found = read_calibrations(bench or [])
    names = [_known(name) for name in card_types or found]
    if as_json:
        output.print_json(speed_view.values(question, names, found))
    elif names:
        for name in dict.fromkeys(names):
            speed_view.print_card(question, name, found.get(name))
    else:
        speed_view.print_all(question)
    return output.OK


def _known(name: str) -> str:
    from farm.plan.card_table import CARDS

    if (name := name.lower()) in CARDS:
        return name
    close = difflib.get_close_matches(name, CARDS, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    raise typer.BadParameter(
        f"{name} is no card type known here: {hint}use {', '.join(sorted(CARDS))}",
        param_hint="CARD-TYPE",
    )


def _question(steps: str, size: str, lanes: int) -> Question:
    from farm.cli.speed_view import MODEL, Question
    from farm.domain import values
    from farm.domain.clip import Work

    limits = values.Limits(stages=MODEL.stages)
    try:
        width, height = values.size(size, limits)
        work = Work(height, width, values.steps(steps, limits))
    except values.BadValue as bad:
        raise typer.BadParameter(str(bad), param_hint="--steps, --size") from None
    return Question(work, lanes)
