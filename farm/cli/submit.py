"""`farm submit`, `farm validate`, `farm init`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output, quote_view
from farm.cli.inputs_view import InputsView
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
from farm.cli.submit_flags import SubmitFlags
from farm.cli.watch import wait_for
from farm.cli.words import plural
from farm.domain.spec import Problem

if TYPE_CHECKING:
    from farm.client import Submitted

DryRun = Annotated[bool, typer.Option("--dry-run", help="Check it, submit nothing.")]
NoUpload = Annotated[
    bool,
    typer.Option(
        "--no-upload", help="Send no files: paths of images and videos are the nodes' own."
    ),
]
Wait = Annotated[bool, typer.Option("--wait", help="Stay until every clip has ended.")]
RequestId = Annotated[str, typer.Option(help="Submitting twice with the same one makes one batch.")]


@command
@with_flags(SubmitFlags)
def submit(
    flags: SubmitFlags,
    dry_run: DryRun = False,
    no_upload: NoUpload = False,
    wait: Wait = False,
    request_id: RequestId = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Submit a file of prompts: all of it is accepted, or every problem in it is listed.

    What is said here goes before what the file says of its batch.

    Quality, a column or `--set quality=…`, is standard by default. draft takes half the steps
    (Distilled 1,1,1; Mid 10,10,10; Base 25), standard those of Helios's authors (2,2,2; 20,20,20;
    50), both with the VAE in bfloat16 on a GPU; exact has it in float32. Steps go before quality.
    """
    from farm.client import Refused

    file = flags.file
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    asked = flags.asked(found.project)
    if unreadable := unreadable_rows(file, flags.mapping):
        return refused_file(file, unreadable, as_json=as_json)
    with connect(found) as farm, InputsView() as view:
        inputs = view.options(found, upload=not no_upload)
        try:
            done = farm.submit(file, dry_run=dry_run, request_id=request_id, inputs=inputs, **asked)
        except Refused as refused:
            return refused_file(file, refused.problems, as_json=as_json)
        show_warnings(file, done.warnings)
        if wait and done.batch is not None:
            return wait_for(farm, done.batch, as_json=as_json)
        _print(file, done, as_json=as_json)
    return output.OK


@command
@with_flags(SubmitFlags)
def validate(
    flags: SubmitFlags,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Check a file as `farm submit --dry-run` does; without a farm, as far as that goes.

    What only a farm knows is then not checked: its model's limits, its projects and other batches,
    and whether inputs are there.
    """
    from farm.client import FarmUnreachable, Refused
    from farm.client.local_check import check_alone

    file = flags.file
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    asked = flags.asked(found.project)
    if unreadable := unreadable_rows(file, flags.mapping):
        return refused_file(file, unreadable, as_json=as_json)
    try:
        try:
            with connect(found) as farm:
                done = farm.submit(file, dry_run=True, **asked)
        except FarmUnreachable as error:
            output.note(f"note: {error}")
            output.note(
                "note: checked without a farm: not the model's limits, nor projects, other batches "
                "and inputs"
            )
            done = check_alone(file, asked)
    except Refused as refused:
        return refused_file(file, refused.problems, as_json=as_json)
    show_warnings(file, done.warnings)
    _print(file, done, as_json=as_json)
    return output.OK


@command
def init(
    file: Annotated[Path, typer.Argument(metavar="[FILE]")] = Path("batch.yaml"),
) -> int:
    """Write an example of a batch in YAML, and the schema that editors read beside it."""
    from farm.client.batch_schema import SCHEMA_NAME, schema_text
    from farm.client.example import EXAMPLE

    if file.suffix.lower() not in (".yaml", ".yml"):
        raise typer.BadParameter(f"{file}: the example is YAML, end it in .yaml", param_hint="FILE")
    try:
        with file.open("x", encoding="utf-8") as stream:
            stream.write(EXAMPLE)
    except FileExistsError:
        raise typer.BadParameter(
            f"{file} is there already: name another, or remove it", param_hint="FILE"
        ) from None
    (file.parent / SCHEMA_NAME).write_text(schema_text(), encoding="utf-8")
    output.say(f"{file}: `farm validate {file}` checks it, `farm submit {file}` submits it")
    return output.OK


def show_warnings(file: Path, warnings: Iterable[Problem]) -> None:
    """What is to be known of an accepted file."""
    for warning in warnings:
        output.note(f"note: {output.problem_line(str(file), warning)}")


def unreadable_rows(file: Path, mapped: Iterable[str]) -> list[Problem]:
    """Why nothing of a file can be read, before the farm is asked; empty when it can."""
    from farm.client.files import Unreadable, open_rows

    try:
        open_rows(file, mapped)
    except Unreadable as error:
        return [error.problem]
    return []


def _print(file: Path, done: Submitted, *, as_json: bool) -> None:
    from farm.client.plain import plain

    if as_json:
        output.print_json(
            {
                "batch": plain(done.batch) if done.batch is not None else None,
                "clips": done.clips,
                "frames": done.frames,
                "repeated": done.repeated,
                "quote": plain(done.quote) if done.quote is not None else None,
                "warnings": output.problem_values(str(file), done.warnings),
            }
        )
        return
    clips, frames = plural(done.clips, "clip"), plural(done.frames, "frame")
    if done.batch is None:
        output.say(f"no problems: {clips}, {frames}")
        if done.quote is not None:
            quote_view.show(done.quote)
    else:
        again = " (submitted before)" if done.repeated else ""
        output.say(f"batch {done.batch.batch_id}: {clips}, {frames}{again}")
        if done.quote is not None:
            output.say(quote_view.line(done.quote))


def refused_file(file: Path, problems: Sequence[Problem], *, as_json: bool) -> int:
    """Say what is wrong with a file; the exit code."""
    for problem in problems:
        output.note(output.problem_line(str(file), problem))
    output.note(f"farm: {plural(len(problems), 'problem')}, nothing was submitted")
    if as_json:
        output.print_json(output.problem_values(str(file), problems))
    return output.REFUSED
