"""`farm sizing`: what a farm of so many cards needs, and what it costs."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output
from farm.cli.options import ConfigFile, DataDir, Json, command, settings

if TYPE_CHECKING:
    from farm.plan.sizing import Asked

_CIRCUIT = re.compile(r"(\d+(?:\.\d+)?)V?x(\d+(?:\.\d+)?)A?", re.IGNORECASE)


@command
def sizing(
    cards: Annotated[int, typer.Option(min=1, max=100_000, help="Cards in all.")] = 62,
    card_type: Annotated[str, typer.Option(help="Their type.")] = "rtx-4060-ti",
    per_machine: Annotated[int, typer.Option(min=1, max=16, help="Cards of a machine.")] = 1,
    way: Annotated[
        str, typer.Option(metavar="WAY", help="How they run the model, as `farm speed` has it.")
    ] = "exact",
    circuit: Annotated[str, typer.Option(metavar="VOLTSxAMPERES", help="Of a fuse.")] = "230x16",
    network: Annotated[float, typer.Option(min=0.1, help="Gbit/s of a machine's link.")] = 1.0,
    keep_days: Annotated[
        float, typer.Option(min=0, help="Days that chunks are kept (keep_chunks_days).")
    ] = 30.0,
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="PART=PRICE", help="Of a card type or a part; may be repeated."),
    ] = None,
    tariff: Annotated[float | None, typer.Option(min=0, help="Price of a kWh.")] = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print every figure as CSV.")] = False,
    as_json: Json = False,
) -> int:
    """Say what a farm of so many cards is made of: memory, disks, links, power, a shopping list.

    Asks no farm. Every figure says whether it is published, estimated or assumed.
    """
    from farm.cli import economics_view
    from farm.plan.money.scenario import Prices, Scenario
    from farm.plan.sizing import PARTS, Asked
    from farm.plan.sizing import sizing as sized

    found = settings(config, data_dir=data_dir)
    volts, amperes = _circuit(circuit)
    given = _prices(price or [])
    asked = Asked(
        cards=cards,
        card_type=card_type.lower(),
        per_machine=per_machine,
        way=way,
        volts=volts,
        amperes=amperes,
        keep_days=keep_days,
        network_gbit=network,
        part_prices={name: value for name, value in given.items() if name in PARTS},
    )
    _check(asked)
    of_cards = {name: value for name, value in given.items() if name not in PARTS}
    scenario = Scenario(electricity_price=tariff, card_prices=of_cards)
    told = sized(asked, Prices(found.tariff, scenario))
    economics_view.put(told, as_json=as_json, as_csv=as_csv)
    return output.OK


def _check(asked: Asked) -> None:
    """Raises `typer.BadParameter` for what the card table or the ways do not have."""
    from farm.plan.card_table import CARDS
    from farm.plan.card_time import WAYS

    for flag, name, known in (
        ("--card-type", asked.card_type, tuple(CARDS)),
        ("--way", asked.way, tuple(WAYS)),
    ):
        if name not in known:
            raise typer.BadParameter(_unknown(name, known), param_hint=flag)
    if asked.card.fp8 == 0 and "fp8" in asked.way:
        raise typer.BadParameter(f"{asked.card_type} has no FP8: use fast", param_hint="--way")


def _prices(options: list[str]) -> dict[str, float]:
    """By part or type of card. Raises `typer.BadParameter`."""
    from farm.plan.card_table import CARDS
    from farm.plan.sizing import PARTS
    from farm.plan.tariff import parse_prices

    try:
        given = parse_prices(",".join(options))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--price") from None
    known = (*PARTS, *CARDS)
    for name in given:
        if name not in known:
            raise typer.BadParameter(_unknown(name, known), param_hint="--price")
    return given


def _unknown(name: str, known: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}? " if close else ""
    return f"{name!r} is none that is known: {hint}use {', '.join(known)}"


def _circuit(text: str) -> tuple[float, float]:
    found = _CIRCUIT.fullmatch(text.strip())
    if found is None or not float(found[1]) or not float(found[2]):
        raise typer.BadParameter(
            f"{text!r} is no circuit: write 230x16 or 120x15", param_hint="--circuit"
        )
    return float(found[1]), float(found[2])
