"""`farm submit`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output, plan_options, quote_view
from farm.cli.inputs_view import InputsView
from farm.cli.options import (
    Ca,
    ConfigFile,
    DataDir,
    Endpoint,
    Json,
    command,
    connect,
    pairs,
    settings,
)
from farm.cli.watch import wait_for
from farm.cli.words import plural
from farm.domain.spec import Problem

if TYPE_CHECKING:
    from farm.client import Submitted

FileArgument = Annotated[Path, typer.Argument(help="CSV, TSV, JSON Lines, YAML or JSON.")]
Name = Annotated[str, typer.Option(help="The batch's name. [default: the file's]")]
Project = Annotated[str | None, typer.Option(help="Whose work it is.")]
Priority = Annotated[int, typer.Option(min=-1000, max=1000, help="Higher goes first.")]
Map = Annotated[
    list[str] | None,
    typer.Option(
        "--map",
        metavar="COLUMN=FIELD",
        help="A column of the file is this field; COLUMN=COLUMN keeps it as your own data.",
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="The same for all clips."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check it, submit nothing.")]
NoUpload = Annotated[
    bool,
    typer.Option(
        "--no-upload", help="Send no files: paths of images and videos are the nodes' own."
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until every clip has ended.")]
After = Annotated[
    list[str] | None,
    typer.Option("--after", metavar="BATCH", help="Begin when it has ended; may be repeated."),
]
FirstLook = Annotated[
    bool,
    typer.Option(
        "--first-look", help="Hold each clip after its first chunk, until it is approved."
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Render also what the farm has a take of already.")
]
RequestId = Annotated[str, typer.Option(help="Submitting twice with the same one makes one batch.")]


@command
def submit(
    file: FileArgument,
    name: Name = "",
    project: Project = None,
    priority: Priority = 0,
    column_map: Map = None,
    set_fields: Set = None,
    dry_run: DryRun = False,
    no_upload: NoUpload = False,
    wait: Wait = False,
    deadline: plan_options.Deadline = None,
    after: After = None,
    limit: plan_options.Limit = None,
    card_type: plan_options.CardType = None,
    vram: plan_options.Vram = None,
    tag: plan_options.Tag = None,
    profile: plan_options.Profile = None,
    model: plan_options.Model = None,
    stack: plan_options.Stack = None,
    first_look: FirstLook = False,
    order: plan_options.Order = None,
    pause_after: plan_options.PauseAfter = None,
    fresh: Fresh = False,
    request_id: RequestId = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Submit a file of prompts: all of it is accepted, or every problem in it is listed.

    Quality, a column or `--set quality=…`, is standard by default. draft takes half the steps
    (Distilled 1,1,1; Mid 10,10,10; Base 25), standard those of Helios's authors (2,2,2; 20,20,20;
    50), both with the VAE in bfloat16 on a GPU; exact has it in float32. Steps go before quality.
    """
    from farm.client import Planned, Refused

    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir, project=project)
    planned = Planned(
        deadline=plan_options.deadline_of(deadline),
        needs=plan_options.needs_of(card_type, vram, tag, profile, model, stack),
        limits=limit or (),
        after=after or (),
        first_look=first_look,
        every=plan_options.every_of(order) or 0,
        failures_max=pause_after,
        fresh=fresh,
    )
    mapping, fixed = pairs("--map", column_map or []), pairs("--set", set_fields or [])
    if wrong := unreadable(file, mapping):
        return refused_file(file, wrong, as_json=as_json)
    with connect(found) as farm, InputsView() as view:
        try:
            done = farm.submit(
                file,
                name=name,
                project=found.project,
                priority=priority,
                column_map=mapping,
                set_fields=fixed,
                dry_run=dry_run,
                request_id=request_id,
                planned=planned,
                inputs=view.options(found, upload=not no_upload),
            )
        except Refused as no:
            return refused_file(file, no.problems, as_json=as_json)
        show_warnings(file, done)
        if wait and done.batch is not None:
            return wait_for(farm, done.batch, as_json=as_json)
    return _print(file, done, as_json=as_json)


def show_warnings(file: Path, done: Submitted) -> None:
    """What is to be known of an accepted file."""
    for warning in done.warnings:
        output.note(f"note: {output.problem_line(str(file), warning)}")


def unreadable(file: Path, mapped: Iterable[str]) -> list[Problem]:
    """Why nothing of a file can be read, before the farm is asked; empty when it can."""
    from farm.client.files import Unreadable, open_rows

    try:
        open_rows(file, mapped)
    except Unreadable as error:
        return [error.problem]
    return []


def _print(file: Path, done: Submitted, *, as_json: bool) -> int:
    from farm.client.plain import plain

    if as_json:
        output.print_json(
            {
                "batch": plain(done.batch) if done.batch is not None else None,
                "clips": done.clips,
                "frames": done.frames,
                "repeated": done.repeated,
                "reused": done.reused,
                "quote": plain(done.quote) if done.quote is not None else None,
                "warnings": output.problem_values(str(file), done.warnings),
            }
        )
        return output.OK
    clips, frames = plural(done.clips, "clip"), plural(done.frames, "frame")
    if done.batch is None:
        output.say(f"no problems: {clips}, {frames}")
        if done.quote is not None:
            quote_view.show(done.quote)
    else:
        again = f", {plural(done.reused, 'take')} there already" if done.reused else ""
        again += " (submitted before)" if done.repeated else ""
        output.say(f"batch {done.batch.batch_id}: {clips}, {frames}{again}")
        if done.quote is not None:
            output.say(quote_view.line(done.quote))
    return output.OK


def refused_file(file: Path, problems: Sequence[Problem], *, as_json: bool) -> int:
    """Say what is wrong with a file; the exit code."""
    for problem in problems:
        output.note(output.problem_line(str(file), problem))
    output.note(f"farm: {plural(len(problems), 'problem')}, nothing was submitted")
    if as_json:
        output.print_json(output.problem_values(str(file), problems))
    return output.REFUSED
