"""`farm logs`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from farm.cli import output
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings

if TYPE_CHECKING:
    from heliostat.v1 import fleet_service_pb2 as pb

_HEAD: Final = ("ts", "level", "component", "logger", "event", "exception")
_COLOURS: Final = {"warning": typer.colors.YELLOW, "error": typer.colors.RED}


@command
def logs(
    target: Annotated[
        str,
        typer.Argument(
            metavar="CLIP|CARD|NODE|coordinator|gateway",
            help="A clip (its id, or BATCH/NAME), a card, a node, or a part of the head.",
        ),
    ],
    lines: Annotated[int, typer.Option(min=1, max=2000, help="The newest so many.")] = 200,
    since: Annotated[
        str, typer.Option(metavar="TIME", help="Only later ones: 90s, 10m, 2h, 1d ago, or a time.")
    ] = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Bring lines of the logs from the nodes and the head; of a clip, from all cards it was on."""
    from farm.client.times import ago

    start = ago(since, datetime.now(tz=UTC)) if since else None
    said: set[str] = set()
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        if follow:
            answers = farm.follow_logs(target, lines=lines, since=start)
        else:
            with _spinner(target):
                answers = iter([farm.logs(target, lines=lines, since=start)])
        for answer in answers:
            for line in answer.lines:
                output.say(line if as_json else _readable(line))
            for text in _remarks(answer):
                if text not in said:
                    said.add(text)
                    output.note(text)
    return output.OK


def _spinner(target: str) -> Any:
    """Something that moves while a card is waited for, on a terminal."""
    if target in ("coordinator", "gateway") or not sys.stderr.isatty():
        return nullcontext()
    return output.console(err=True).status(
        "asking: cards answer at their next exchange, within 10 s"
    )


def _readable(line: str) -> str:
    """A line for a person: when, how grave, who, what, and what it is about."""
    from farm.domain.values import one_line
    from heliostat.logs.reading import fields_of

    fields = fields_of(line)
    level = str(fields.get("level", ""))
    where = fields.get("card_id") if fields.get("component") in ("agent", "child") else ""
    who = f"{fields.get('component', '')} {where}".strip()
    about = " ".join(f"{k}={v}" for k, v in fields.items() if k not in _HEAD and v != where)
    text = f"{fields.get('ts', '')} {level.upper():7} {who}: {one_line(str(fields['event']))}"
    if about:
        text += typer.style(f"  [{about}]", dim=True)
    if level in _COLOURS:
        text = typer.style(text, fg=_COLOURS[level])
    if exception := str(fields.get("exception", "")):
        text += "".join(f"\n    {one_line(part)}" for part in exception.splitlines())
    return text


def _remarks(answer: pb.ReadLogsResponse) -> Iterator[str]:
    """Who did not answer, with what is known instead, and whose older lines were left out."""
    for source in answer.sources:
        if source.problem:
            yield f"{source.name} {source.problem}"
            for line in source.known:
                yield f"  {line}"
        elif source.cut:
            yield f"{source.name} has older lines too: --lines, --since"
