"""`farm status`, `farm cards`, `farm nodes`."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output, words
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings

if TYPE_CHECKING:
    from heliostat.v1 import types_pb2 as types

_BATCHES_SHOWN = 20
_BATCH_HEADERS = ("batch", "name", "project", "state", "due", "ended", "chunks", "clips")
_BATCH_NUMBERS = {5, 6}


@command
def status(
    batch: Annotated[
        str | None, typer.Argument(metavar="[BATCH]", help="A batch's id or name.")
    ] = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show the fleet's rates and the newest batches, or one batch."""
    from farm.client.plain import plain

    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        if batch:
            one = farm.get(batch)
            if as_json:
                output.print_json(plain(one))
            else:
                output.print_table(_BATCH_HEADERS, [_batch_row(one)], _BATCH_NUMBERS)
                output.say(words.planned(one))
            return output.OK
        fleet = farm.fleet()
        batches = list(islice(farm.list(), _BATCHES_SHOWN))
    if as_json:
        output.print_json({"fleet": plain(fleet), "batches": [plain(each) for each in batches]})
        return output.OK
    output.say(words.fleet_line(fleet))
    if batches:
        output.print_table(_BATCH_HEADERS, map(_batch_row, batches), _BATCH_NUMBERS)
    else:
        output.say("no batches yet: `farm submit FILE`")
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
    )
    return output.OK


def _batch_row(batch: types.Batch) -> tuple[str, ...]:
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
