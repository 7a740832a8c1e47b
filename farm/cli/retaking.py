"""`farm resubmit`, `farm retake`, `farm extend`, `farm branch`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output
from farm.cli.inputs_view import InputsView
from farm.cli.options import (
    BatchArgument,
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
from farm.cli.submit import (
    DryRun,
    NoUpload,
    RequestId,
    Wait,
    refused_file,
    show_warnings,
    unreadable_rows,
)
from farm.cli.submit_flags import FileArgument, Fill, Fresh, Map, Set, Wedge
from farm.cli.watch import wait_for
from farm.cli.words import plural

if TYPE_CHECKING:
    from farm.client import Submitted
    from heliostat.v1 import batch_service_pb2 as pb
    from heliostat.v1 import types_pb2 as types

ClipArguments = Annotated[
    list[str], typer.Argument(metavar="CLIP...", help="Names (their latest versions) or ids.")
]
Seed = Annotated[int | None, typer.Option(min=0, help="Another seed.")]
NewSeed = Annotated[
    bool, typer.Option("--new-seed", help="Another seed for each, by its name and version.")
]
Blend = Annotated[
    int | None,
    typer.Option("--blend", min=1, help="Chunks over which the prompt takes over. [default: 3]"),
]
Note = Annotated[str, typer.Option(help="Why; it is kept with the new versions.")]


@command
def resubmit(
    batch: BatchArgument,
    file: FileArgument,
    column_map: Map = None,
    set_fields: Set = None,
    wedge: Wedge = None,
    fill: Fill = False,
    dry_run: DryRun = False,
    fresh: Fresh = False,
    wait: Wait = False,
    no_upload: NoUpload = False,
    request_id: RequestId = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Submit a batch's file again: rows that changed become their clips' next versions.

    Old versions stay. Rows like the latest version of their clip are passed over, new rows are new
    clips, and clips that no row speaks of any more stay. Give the same --map and --set as before;
    the batch keeps its project, priority and all else (`farm amend`).
    """
    from farm.client import Refused

    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    mapping, fixed = pairs("--map", column_map or []), pairs("--set", set_fields or [])
    if wrong := unreadable_rows(file, mapping):
        return refused_file(file, wrong, as_json=as_json)
    with connect(found) as farm, InputsView() as view:
        try:
            done = farm.resubmit(
                batch,
                file,
                column_map=mapping,
                set_fields=fixed,
                wedge=list(wedge or ()),
                fill=fill,
                dry_run=dry_run,
                fresh=fresh,
                request_id=request_id,
                inputs=view.options(found, upload=not no_upload),
            )
        except Refused as refused:
            return refused_file(file, refused.problems, as_json=as_json)
        show_warnings(file, done.warnings)
        if wait and done.batch is not None:
            return wait_for(farm, done.batch, as_json=as_json)
    _print_resubmitted(done, as_json=as_json)
    return output.OK


@command
def retake(
    batch: BatchArgument,
    clips: ClipArguments,
    seed: Seed = None,
    new_seed: NewSeed = False,
    prompt: Annotated[str | None, typer.Option(help="Another prompt.")] = None,
    note: Note = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Render clips again, as their next versions; the old ones stay."""
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        answer = farm.retake(batch, clips, seed=seed, new_seed=new_seed, prompt=prompt, note=note)
    return _print(answer, as_json=as_json)


@command
def extend(
    batch: BatchArgument,
    clips: ClipArguments,
    frames: Annotated[int | None, typer.Option(min=1, help="Frames in all.")] = None,
    seconds: Annotated[float | None, typer.Option(min=0.01, help="Seconds in all.")] = None,
    prompt: Annotated[str | None, typer.Option(help="Followed from the old end on.")] = None,
    blend: Blend = None,
    note: Note = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Make finished clips longer, as their next versions: what is rendered is taken over.

    Only whole chunks of 33 frames are; a last one that was trimmed is rendered again.
    """
    if (frames is None) == (seconds is None):
        raise typer.BadParameter("say one of --frames and --seconds", param_hint="--frames")
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        if seconds is not None:
            named = (c for c in farm.clips(batch) if not {c.name, c.clip_id}.isdisjoint(clips))
            frames = round(seconds * _rate(named))
        answer = farm.extend(
            batch, clips, frames=frames or 1, prompt=prompt, blend_chunks=blend, note=note
        )
    return _print(answer, as_json=as_json)


@command
def branch(
    batch: BatchArgument,
    clips: ClipArguments,
    from_chunk: Annotated[
        int, typer.Option("--from-chunk", min=0, help="The first that differs; 33 frames each.")
    ],
    prompt: Annotated[str | None, typer.Option(help="Followed from that chunk on.")] = None,
    seed: Seed = None,
    new_seed: NewSeed = False,
    blend: Blend = None,
    note: Note = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Let clips go another way from a chunk on, as their next versions; the first is chunk 0."""
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        answer = farm.branch(
            batch,
            clips,
            from_chunk=from_chunk,
            prompt=prompt,
            seed=seed,
            new_seed=new_seed,
            blend_chunks=blend,
            note=note,
        )
    return _print(answer, as_json=as_json)


def _rate(clips: Iterable[types.Clip]) -> int:
    """Frames per second of some clips. Raises `typer.BadParameter` where they differ."""
    rates = sorted({clip.spec.fps for clip in clips})
    if len(rates) != 1:
        said = ", ".join(map(str, rates)) or "none"
        what = f"the clips' frames per second differ ({said}): say --frames"
        raise typer.BadParameter(what, param_hint="--seconds")
    return rates[0]


def _print(answer: pb.RetakeResponse, *, as_json: bool) -> int:
    from farm.client.plain import plain

    if as_json:
        output.print_json(plain(answer))
        return output.OK
    output.print_table(
        ("clip", "version", "id", "from", "chunks taken over", "chunks", "seed"),
        (
            (
                clip.name,
                f"v{clip.version:03}",
                clip.clip_id,
                f"{clip.origin.kind} of {clip.origin.clip_id}",
                str(clip.origin.chunks),
                str(clip.chunks),
                str(clip.spec.fork.seed if clip.spec.HasField("fork") else clip.spec.seed),
            )
            for clip in answer.clips
        ),
        {4, 5, 6},
    )
    return output.OK


def _print_resubmitted(done: Submitted, *, as_json: bool) -> None:
    from farm.client.plain import plain

    counts = ("clips", "frames", "changed", "unchanged", "missing", "reused", "repeated")
    if as_json:
        found = {name: getattr(done, name) for name in counts}
        output.print_json({"batch": plain(done.batch) if done.batch is not None else None, **found})
        return
    new = done.clips - done.changed
    what = f"{plural(done.changed, 'clip')} changed, {new} new, {done.unchanged} as before"
    what += f", {done.missing} in no row (they stay)" if done.missing else ""
    what += f", {plural(done.reused, 'take')} there already" if done.reused else ""
    if done.batch is None:
        output.say(f"no problems: {what}")
    elif done.repeated:
        output.say(f"batch {done.batch.batch_id}: {plural(done.clips, 'clip')} (submitted before)")
    else:
        output.say(f"batch {done.batch.batch_id}: {what}")
