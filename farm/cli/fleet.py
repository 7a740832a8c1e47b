"""`farm status`, `farm cards`, `farm nodes`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output, quote_view, words
from farm.cli.morning import Line, lines, next_morning
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings

if TYPE_CHECKING:
    from farm.client import Farm
    from heliostat.v1 import types_pb2 as types

_BATCHES_SHOWN = 20
_BATCH_NUMBERS = {5, 6}


@command
def status(
    batch: Annotated[
        str | None, typer.Argument(metavar="[BATCH]", help="A batch's id or name.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Every batch, also those that ended long ago.")
    ] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show the farm on one screen: what is promised by the next morning, cards, queue; or a batch.

    Listed are batches with open clips, and those that ended in the last day.
    """
    from farm.cli import status_view
    from farm.client.plain import plain

    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        if batch:
            one = farm.get(batch)
            if as_json:
                output.print_json(plain(one))
            else:
                row = status_view.batch_row(one)
                output.print_table(status_view.BATCH_HEADERS, [row], _BATCH_NUMBERS)
                output.say(words.planned(one))
                for line in quote_view.account(one):
                    output.say(line)
            return output.OK
        batches = list(farm.list() if every else active_batches(farm))
        if not as_json:
            _print_status(farm, batches)
            return output.OK
        morning, found_lines = morning_lines(batches)
        output.print_json(
            {
                "fleet": plain(farm.fleet()),
                "cards_not_online": [plain(card) for card in farm.cards() if not card.online],
                "morning": morning.isoformat(),
                "projects": [asdict(line) for line in found_lines],
                "batches": [plain(each) for each in batches],
            }
        )
    return output.OK


@command
def cards(
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the fleet's cards; of the profiles that each offers, the one that it loads first."""
    from farm.client.plain import plain

    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        listed = farm.cards()
    if as_json:
        output.print_json([plain(card) for card in listed])
        return output.OK
    output.print_table(
        (
            "card",
            "type",
            "profiles",
            "device",
            "host",
            "state",
            "standing",
            "FPS",
            "renders",
            "seen",
        ),
        (
            (
                card.card_id,
                card.card_type,
                ", ".join(card.profiles),
                card.device,
                card.hostname,
                "online" if card.online else "offline",
                words.standing(card.standing, card.standing_reason),
                f"{card.frames_per_second:.2f}",
                ", ".join(card.clip_ids),
                f"{card.seen_seconds_ago:.0f} s ago",
            )
            for card in listed
        ),
        {7},
        empty="no card has joined: `farm-node join` on a machine with cards brings them",
    )
    return output.OK


@command
def nodes(
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the fleet's machines."""
    from farm.client.plain import plain

    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        listed = farm.nodes()
    if as_json:
        output.print_json([plain(node) for node in listed])
        return output.OK
    output.print_table(
        ("node", "host", "cards", "online", "standing", "hours", "circuit"),
        (
            (
                n.node_id,
                n.hostname,
                str(n.cards),
                str(n.cards_online),
                words.standing(n.standing, n.reason),
                n.schedule if n.in_hours else f"not now: {n.schedule}",
                n.circuit,
            )
            for n in listed
        ),
        {2, 3},
        empty="no machine has joined: `farm-node join` on it brings its cards",
    )
    return output.OK


def active_batches(farm: Farm) -> Iterator[types.Batch]:
    """Batches with open clips, and those that ended in the last day, the newest first."""
    return farm.list(active=True, ended_after=datetime.now(tz=UTC) - timedelta(days=1))


def morning_lines(batches: Iterable[types.Batch]) -> tuple[datetime, list[Line]]:
    """The next morning on this machine's clock, and what was promised by then."""
    morning = next_morning(datetime.now(tz=UTC).astimezone())
    return morning, lines(batches, morning)


def _print_status(farm: Farm, batches: Sequence[types.Batch]) -> None:
    from farm.cli import status_view

    console = output.console()
    console.print(status_view.summary(farm.fleet(), farm.cards()))
    if not batches:
        output.say("no batch is open, and none ended since yesterday: `farm submit FILE`")
        return
    morning, found = morning_lines(batches)
    console.print(status_view.projects(found, morning))
    shown = [status_view.batch_row(batch) for batch in batches[:_BATCHES_SHOWN]]
    output.print_table(status_view.BATCH_HEADERS, shown, _BATCH_NUMBERS)
    if len(batches) > _BATCHES_SHOWN:
        output.say(f"and {len(batches) - _BATCHES_SHOWN:,} more: `farm status --all`")
