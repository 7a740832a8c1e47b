"""`farm why`, `farm log`."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import output
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings


@command
def why(
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SUBJECT", help="A clip (its id, or BATCH/NAME), a batch, a card or a node."
        ),
    ],
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Say in plain words why a clip, batch, card or node is as it is, and what would help."""
    from farm.client.plain import plain
    from farm.domain.values import one_line

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        answer = farm.why(subject)
    if as_json:
        output.print_json(plain(answer))
        return output.OK
    output.say(one_line(f"{answer.kind} {answer.subject}: {answer.answer}"))
    for title, lines in (
        ("because", answer.because),
        ("what would help", answer.remedies),
        ("what happened, the latest first", answer.history),
    ):
        if lines:
            output.say(f"\n{title}")
            for line in lines:
                output.say(f"  {one_line(line)}")
    return output.OK


@command
def log(
    target: Annotated[
        str,
        typer.Argument(
            metavar="[TARGET]",
            help="A node's hostname, a card's id, 'project NAME', …; none is all.",
        ),
    ] = "",
    most: Annotated[int, typer.Option(min=1, max=1000, help="Lines.")] = 100,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Show what was decided of nodes, cards, projects, limits and circuits, the latest first."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        events = farm.fleet_events(target, most=most)
    if not events:
        output.note(
            f"nothing was decided of {target}: `farm log` shows what was decided of all, `farm "
            f"watch {target} --events` what happened to a batch"
            if target
            else "nothing was decided of the fleet yet"
        )
        return output.OK
    if as_json:
        for event in events:
            output.print_json_line(plain(event))
        return output.OK
    output.print_table(
        ("at", "of", "what", "detail"),
        (
            (f"{event.at.ToDatetime():%Y-%m-%d %H:%M:%S}Z", event.target, event.kind, event.detail)
            for event in events
        ),
        set(),
    )
    return output.OK
