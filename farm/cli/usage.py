"""`farm usage`: what was rendered, made and used, by day and project; as CSV for the bookkeeper."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from typing import TYPE_CHECKING, Annotated, Final

import typer

from farm.cli import output
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings
from farm.cli.quote_view import number

if TYPE_CHECKING:
    from heliostat.v1 import fleet_service_pb2 as pb

HOUR: Final = 3600.0
KWH: Final = 3.6e6
IDLE: Final = "(idle)"
"""Stands for cards without a clip, which are no project's."""
_BY: Final = ("day", "month", "project")

First = Annotated[
    str, typer.Option("--from", metavar="DAY", help="First day, as 2026-11-01, in UTC.")
]
Last = Annotated[str, typer.Option("--to", metavar="DAY", help="Last day, counted in.")]


@command
def usage(
    by: Annotated[
        str, typer.Option("--by", help="day or month, project, or both; '' is one sum of all.")
    ] = "day,project",
    first: First = "",
    last: Last = "",
    project: Annotated[str, typer.Option("--project", help="Only what this project used.")] = "",
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print CSV: plain numbers, every column.")
    ] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show what was rendered, made and used: frames, card hours, energy, money, and the waste.

    Days are those of UTC. Energy is that of the cards' boards.
    """
    from farm.client.plain import plain

    parts, bounds = _parts(by), [_day("--from", first), _day("--to", last)]
    if as_csv and as_json:
        raise typer.BadParameter("say --csv or --json, not both", param_hint="--csv")
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        answer = farm.usage(by=parts, first=bounds[0], last=bounds[1], project=project)
    rows = list(answer.rows)
    if parts[:1] == ("project",):
        rows.sort(key=lambda row: (row.project, row.period))
    if as_json:
        values = [{**plain(row)} for row in rows]
        output.print_json({"rows": values, "total": plain(answer.total), "since": answer.since})
    elif as_csv:
        _write_csv(parts, rows if parts else [_whole(answer)])
    elif not answer.since:
        output.say("nothing was rendered yet: `farm submit FILE` begins")
    else:
        _show(parts, rows, answer)
    return output.OK


def _parts(text: str) -> tuple[str, ...]:
    """What `--by` names, in its order. Raises `typer.BadParameter`."""
    parts = tuple(dict.fromkeys(filter(None, (part.strip() for part in text.split(",")))))
    if unknown := [part for part in parts if part not in _BY]:
        raise typer.BadParameter(
            f"{', '.join(unknown)}: name day or month, and project", param_hint="--by"
        )
    if {"day", "month"} <= set(parts):
        raise typer.BadParameter("name day or month, not both", param_hint="--by")
    return parts


def _day(option: str, text: str) -> date | None:
    from farm.domain.usage import parse_day

    try:
        return parse_day(text) if text else None
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None


def _whole(answer: pb.ListUsageResponse) -> pb.UsageRow:
    from heliostat.v1 import fleet_service_pb2 as pb

    return pb.UsageRow(usage=answer.total)


def _show(parts: Sequence[str], rows: Sequence[pb.UsageRow], answer: pb.ListUsageResponse) -> None:
    total, money = answer.total, answer.total.currency
    headers = [
        *parts, "clips", "video s", "frames", "delivered", "waste", "card h", "idle h", "kWh",
        "idle kWh", money, f"waste {money}", f"idle {money}",
    ]  # fmt: skip
    lines = [[*_keys(parts, row), *_cells(row.usage)] for row in rows]
    lines.append([*("total" if i == 0 else "" for i in range(len(parts))), *_cells(total)])
    numbers = set(range(len(parts), len(headers)))
    output.print_table(headers, lines, numbers, narrow=True)
    if total.joules:
        share = total.measured_joules / total.joules
        output.say(
            f"energy of the boards alone, {share:.0%} of it measured, the rest by power caps;"
            " idle energy only where a sensor measures it"
        )
    if total.reused_frames:
        output.say(
            f"{total.reused_frames:,} frames were of use once more: of clips that were retried, or"
            " in later versions of them"
        )
    output.say(f"days in UTC; counted since {answer.since}")


def _cells(usage: pb.FarmUsage) -> Iterator[str]:
    yield f"{usage.clips_delivered:,}"
    yield f"{usage.delivered_video_seconds:,.1f}"
    yield f"{usage.frames_rendered:,}"
    yield f"{usage.frames_delivered:,}"
    yield f"{usage.waste_frames:,}"
    for seconds in (usage.card_seconds, usage.idle_card_seconds):
        yield number(seconds / HOUR)
    for joules in (usage.joules, usage.idle_joules):
        yield number(joules / KWH)
    for money in (usage.money, usage.waste_money, usage.idle_money):
        yield number(money)


def _keys(parts: Sequence[str], row: pb.UsageRow) -> list[str]:
    return [(row.project or IDLE) if part == "project" else row.period for part in parts]


def _write_csv(parts: Sequence[str], rows: Sequence[pb.UsageRow]) -> None:
    from heliostat.v1 import fleet_service_pb2 as pb

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow([*parts, *dict(_columns(pb.FarmUsage()))])
    for row in rows:
        writer.writerow([*_keys(parts, row), *dict(_columns(row.usage)).values()])


def _columns(usage: pb.FarmUsage) -> Iterator[tuple[str, str | int]]:
    """Every figure with its unit in its name; money is of everything, idling counted in, last."""
    yield "clips_delivered", usage.clips_delivered
    yield "video_seconds", f"{usage.delivered_video_seconds:.3f}"
    for name in ("rendered", "delivered"):
        yield f"frames_{name}", getattr(usage, f"frames_{name}")
    for name in ("waste_frames", "trimmed_frames", "reused_frames"):
        yield name, getattr(usage, name)
    for name in ("", "waste_", "idle_"):
        yield f"{name}card_hours", f"{getattr(usage, f'{name}card_seconds') / HOUR:.6f}"
    for name in ("", "measured_", "waste_", "idle_"):
        yield f"{name}kwh", f"{getattr(usage, f'{name}joules') / KWH:.6f}"
    for name in ("", "waste_", "idle_"):
        yield f"{name}money", f"{getattr(usage, f'{name}money'):.6f}"
    yield "total_money", f"{usage.money + usage.idle_money:.6f}"
    yield "currency", usage.currency
