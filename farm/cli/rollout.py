"""`farm upgrade`, `farm model rollout`, `farm rollout`: other releases and models for the cards."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output, words
from farm.cli.looks import By, login
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings

if TYPE_CHECKING:
    from heliostat.v1 import fleet_service_pb2 as fleet_pb

model = typer.Typer(help="Models: brought to the nodes and the cards.")
rollout = typer.Typer(help="Rollouts: a release or a model for the cards, a few first, then all.")

Number = Annotated[
    int,
    typer.Argument(metavar="[NUMBER]", help="[default: the one under way, else the latest]"),
]
Canary = Annotated[
    int | None, typer.Option(metavar="N", min=1, help="Cards that begin. [default: 1]")
]
Cards = Annotated[
    list[str] | None,
    typer.Option("--card", metavar="ID", help="This card begins; may be repeated."),
]
AtOnce = Annotated[
    int, typer.Option("--at-once", metavar="N", min=1, help="Cards changed together later.")
]
DIGITS = 12
"""Of a digest in a table."""


@command
def upgrade(
    version: Annotated[str, typer.Argument(metavar="VERSION", help="Such as 0.2.0.")],
    canary: Canary = None,
    card: Cards = None,
    at_once: AtOnce = 1,
    unattended: Annotated[
        bool,
        typer.Option("--unattended", help="Go on by itself where stack and picture are the same."),
    ] = False,
    by: By = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Bring a release of Heliostat to the cards: one first, which is compared; the others when you
    accept it.

    Their nodes have it by `farm-node release add`.
    """
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir, reviewer=by)
    with connect(found) as farm:
        done = farm.upgrade(
            version,
            canary=canary or 0,
            cards=card or (),
            at_once=at_once,
            unattended=unattended,
            by=found.reviewer or login(),
        )
    return _say(done, as_json=as_json)


@model.command("rollout")
@command
def roll_out_model(
    digest: Annotated[str, typer.Argument(metavar="DIGEST", help="Of the model, all 64 digits.")],
    source: Annotated[
        str, typer.Option(help="Where the first node gets it, as for `farm-node model fetch`.")
    ],
    name: Annotated[
        str, typer.Option(help="Its directory on the nodes. [default: 12 digits of DIGEST]")
    ] = "",
    canary: Canary = None,
    card: Cards = None,
    at_once: AtOnce = 1,
    by: By = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Bring a model to the nodes: one card renders with it first, the others when you accept it."""
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir, reviewer=by)
    with connect(found) as farm:
        done = farm.roll_out_model(
            digest,
            source,
            name=name,
            canary=canary or 0,
            cards=card or (),
            at_once=at_once,
            by=found.reviewer or login(),
        )
    return _say(done, as_json=as_json)


@rollout.command("list")
@command
def list_rollouts(
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List rollouts, the newest first."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        found = farm.rollouts()
    if as_json:
        output.print_json([plain(each) for each in found])
        return output.OK
    output.print_table(
        ("number", "of", "state", "begun", "by", "reason"),
        (
            (
                str(each.number),
                _what(each),
                _state(each),
                words.local_time(each.started_at),
                each.started_by,
                each.reason,
            )
            for each in found
        ),
        {0},
        empty="there was no rollout yet: `farm upgrade`, `farm model rollout`",
    )
    return output.OK


@rollout.command("show")
@command
def show_rollout(
    number: Number = 0,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show how far a rollout is: every card of it, and what its examination found."""
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        found = farm.rollout(number)
    return _say(found, as_json=as_json)


@rollout.command("accept")
@command
def accept_rollout(
    number: Number = 0,
    by: By = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Let the other cards follow; or go on, where a card of it has failed."""
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir, reviewer=by)
    with connect(found) as farm:
        done = farm.accept_rollout(number, by=found.reviewer or login())
    return _say(done, as_json=as_json)


@rollout.command("back")
@command
def roll_back(
    number: Number = 0,
    reason: Annotated[str, typer.Option(help="Why; kept with it.")] = "",
    by: By = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Have all its cards run again what they ran before."""
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir, reviewer=by)
    with connect(found) as farm:
        done = farm.roll_back(number, reason=reason, by=found.reviewer or login())
    return _say(done, as_json=as_json)


def _say(found: fleet_pb.Rollout, *, as_json: bool) -> int:
    """A rollout with its cards, and what a person does next."""
    from farm.client.plain import plain
    from heliostat.v1 import fleet_service_pb2 as fleet_pb

    if as_json:
        output.print_json(plain(found))
        return output.OK
    reason = f": {found.reason}" if found.reason else ""
    output.say(f"rollout {found.number} of {_what(found)}: {_state(found)}{reason}")
    if counted := [f"{n:,} {step}" for step, n in sorted(found.cards_by_step.items())]:
        output.say(f"cards: {', '.join(counted)}")
    if found.cards:
        output.print_table(
            ("card", "step", "ran before", "picture", "stack", "what was found"),
            (
                (
                    card.card_id + (" (canary)" if card.canary else ""),
                    _step(card),
                    _short(found, card.before),
                    _picture(card),
                    _stacks(card),
                    card.detail,
                )
                for card in found.cards
            ),
            set(),
        )
    state = found.state
    if state == fleet_pb.ROLLOUT_STATE_WAITING:
        output.note("`farm rollout accept` lets the others follow, `farm rollout back` goes back")
    elif state == fleet_pb.ROLLOUT_STATE_ROLLING and found.reason:
        output.note("`farm rollout accept` goes on, `farm rollout back` brings all cards back")
    return output.OK


def _what(found: fleet_pb.Rollout) -> str:
    from heliostat.v1 import fleet_service_pb2 as fleet_pb

    kind = fleet_pb.RolloutKind.Name(found.kind).removeprefix("ROLLOUT_KIND_").lower()
    return f"{kind} {_short(found, found.target)}"


def _short(found: fleet_pb.Rollout, target: str) -> str:
    from heliostat.v1 import fleet_service_pb2 as fleet_pb

    return target[:DIGITS] if found.kind == fleet_pb.ROLLOUT_KIND_MODEL else target


def _state(found: fleet_pb.Rollout) -> str:
    from heliostat.v1 import fleet_service_pb2 as fleet_pb

    return fleet_pb.RolloutState.Name(found.state).removeprefix("ROLLOUT_STATE_").lower()


def _step(card: fleet_pb.RolloutCard) -> str:
    from heliostat.v1 import fleet_service_pb2 as fleet_pb

    name = fleet_pb.RolloutStep.Name(card.step).removeprefix("ROLLOUT_STEP_").lower()
    return "to come" if card.step == fleet_pb.ROLLOUT_STEP_UNSPECIFIED else name


def _picture(card: fleet_pb.RolloutCard) -> str:
    if card.HasField("psnr_db"):
        return f"{card.psnr_db:.1f} dB"
    return "equal" if card.equal else ""


def _stacks(card: fleet_pb.RolloutCard) -> str:
    if not card.stack_after:
        return ""
    if card.stack_after == card.stack_before:
        return "the same"
    return f"{card.stack_before} → {card.stack_after}"
