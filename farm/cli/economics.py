"""`farm economics`: what the fleet is worth beside an H100, clouds and other models."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output
from farm.cli.options import (
    Ca,
    ConfigFile,
    DataDir,
    Endpoint,
    Json,
    command,
    connect,
    settings,
    with_flags,
)

if TYPE_CHECKING:
    from farm.config import FarmConfig
    from farm.plan.money.figure import Statement
    from farm.plan.money.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Flags:
    """Figures in the place of the farm's own."""

    add: Annotated[
        tuple[int, str] | None,
        typer.Option(metavar="CARDS TYPE", help="So many more cards: 10 rtx-4060-ti."),
    ] = None
    monthly: Annotated[
        float | None, typer.Option(help="Generations a month. [default: the farm's own, else 200]")
    ] = None
    tariff: Annotated[float | None, typer.Option(help="Price of a kWh.")] = None
    cloud: Annotated[
        float | None, typer.Option(help="Price of a generation in a cloud, on average.")
    ] = None
    price: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE=PRICE", help="Price of a card; may be repeated."),
    ] = None
    host: Annotated[
        float | None, typer.Option(help="Price of the machine around a card, RAM and all.")
    ] = None
    h100_hour: Annotated[float | None, typer.Option(help="Price of a rented H100's hour.")] = None
    utilisation: Annotated[
        float | None, typer.Option(help="Part of their time that cards render: 0.6.")
    ] = None
    seconds: Annotated[
        float | None, typer.Option(help="Of video in a generation. [default: 5]")
    ] = None


@command
@with_flags(Flags)
def economics(
    flags: Flags,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no farm: reckon with the cards named here.")
    ] = False,
    cards: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Cards of that fleet.")
    ] = None,
    card_type: Annotated[
        str | None, typer.Option(help="Their type. [default: rtx-4060-ti]", show_default=False)
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(help="Frames a second of one of them. [default: as `farm speed` predicts]"),
    ] = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print every figure as CSV.")] = False,
    as_json: Json = False,
) -> int:
    """Say what the fleet is worth: beside an H100, bought and rented, clouds, other models.

    Every figure says whether it was measured, published, estimated or assumed. With --offline a
    fleet is reckoned with before it is bought.
    """
    from farm.cli import economics_view

    asked = _scenario(flags)
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    if offline or cards is not None:
        told = _offline(found, asked, cards or 1, (card_type or "rtx-4060-ti").lower(), fps)
    elif card_type is not None or fps is not None:
        raise typer.BadParameter("these are of a fleet without a farm: add --offline or --cards")
    else:
        told = _of_farm(found, asked)
    economics_view.put(told, as_json=as_json, as_csv=as_csv)
    return output.OK


def _of_farm(found: FarmConfig, asked: Scenario) -> Statement:
    from farm.client.economics import statement_of

    with connect(found) as farm:
        return statement_of(farm.economics(asked))


def _offline(
    found: FarmConfig, asked: Scenario, cards: int, card_type: str, fps: float | None
) -> Statement:
    """A fleet that is not there, at the prices of the settings."""
    from farm.plan.money.comparators import comparators_of
    from farm.plan.money.machines import Machines, assumed
    from farm.plan.money.scenario import Prices
    from farm.plan.money.statement import statement

    if fps is not None and not 0 < fps < math.inf:
        raise typer.BadParameter(f"{fps:g} frames a second: give more than 0", param_hint="--fps")
    baseline = found.compared_with
    prices = Prices(found.tariff, asked)
    machines = Machines(groups=(assumed(card_type, cards, prices, fps, baseline),))
    return statement(machines, prices, comparators_of(found.comparators), baseline)


def _scenario(flags: Flags) -> Scenario:
    """What was asked. Raises `typer.BadParameter`."""
    from farm.plan.money.scenario import CLIP_SECONDS, Scenario

    add_cards, add_type = flags.add or (0, "")
    asked = Scenario(
        add_cards=add_cards,
        add_type=add_type.lower(),
        electricity_price=flags.tariff,
        card_prices=_prices(flags.price or ()),
        host_price=flags.host,
        cloud_price=flags.cloud,
        h100_hour_price=flags.h100_hour,
        utilisation=flags.utilisation,
        monthly=flags.monthly,
        clip_seconds=CLIP_SECONDS if flags.seconds is None else flags.seconds,
    )
    if problems := asked.problems():
        raise typer.BadParameter("; ".join(problems))
    return asked


def _prices(options: Sequence[str]) -> dict[str, float]:
    from farm.plan.tariff import parse_prices

    try:
        return parse_prices(",".join(options))
    except ValueError as bad:
        raise typer.BadParameter(str(bad), param_hint="--price") from None
