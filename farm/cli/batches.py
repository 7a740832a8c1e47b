"""`farm clips`, `farm fetch`, `farm cancel`, `farm retry`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from farm.cli import filters, output, words
from farm.cli.options import (
    BatchArgument,
    Ca,
    ConfigFile,
    DataDir,
    Endpoint,
    Json,
    command,
    connect,
    settings,
)

ClipArguments = Annotated[
    list[str] | None, typer.Argument(metavar="[CLIP]...", help="Names or ids; none is all.")
]


@command
def clips(
    batch: BatchArgument,
    state: Annotated[
        list[str] | None, typer.Option("--state", help="Only clips in this state; may be repeated.")
    ] = None,
    where: filters.Where = None,
    approved: filters.ApprovedOnly = False,
    rejected: filters.RejectedOnly = False,
    unreviewed: filters.Unreviewed = False,
    latest: filters.Latest = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List a batch's clips in the order of its file. With --json, one clip on each line."""
    from farm.client.plain import plain
    from heliostat.v1 import types_pb2 as types

    for each in state or []:
        if each.lower() not in words.STATES:
            raise typer.BadParameter(f"{each}: use {', '.join(words.STATES)}", param_hint="--state")
    states = [types.ClipState.Value(f"CLIP_STATE_{each.upper()}") for each in state or []]
    only = filters.clip_filter(
        where, approved=approved, rejected=rejected, unreviewed=unreviewed, latest=latest
    )
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        listed = farm.clips(batch, states, only=only)
        if as_json:
            for clip in listed:
                output.print_json_line(plain(clip))
            return output.OK
        output.print_table(
            (
                "row",
                "clip",
                "version",
                "state",
                "review",
                "chunks",
                "attempt",
                "card",
                "score",
                "reason",
            ),
            (
                (
                    str(clip.row),
                    clip.name,
                    f"v{clip.version:03}",
                    words.clip_state(clip.state),
                    words.verdict(clip),
                    f"{clip.chunks_done}/{clip.chunks}",
                    str(clip.attempt),
                    clip.card_id,
                    words.score(clip),
                    clip.reason or clip.review.note or clip.look.note,
                )
                for clip in listed
            ),
            {0, 5, 6, 8},
            empty="no clip of the batch is so",
        )
    return output.OK


@command
def fetch(
    batch: BatchArgument,
    directory: Annotated[Path, typer.Argument(metavar="DIR", help="Made if it is not there.")],
    follow: Annotated[
        bool, typer.Option("--follow", help="Also takes to come, as they land, to the batch's end.")
    ] = False,
    where: filters.Where = None,
    approved: filters.ApprovedOnly = False,
    latest: filters.Latest = False,
    names: Annotated[
        list[str] | None,
        typer.Option("--clips", metavar="CLIP", help="Only this clip; may be repeated."),
    ] = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Download finished takes and their sidecars, verified; goes on where an earlier one ended.

    manifest.json and manifest.csv in DIR say what is there. Several may fetch into one DIR.
    """
    from farm.cli.fetch_view import FetchView

    only = filters.clip_filter(where, approved=approved, latest=latest, clips=names or [])
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        try:
            with FetchView() as view:
                fetched = farm.fetch(
                    batch, directory, only=only, follow=follow, on_progress=view.show
                )
        except KeyboardInterrupt:
            output.note(f"interrupted: `farm fetch {batch} {directory}` goes on from here")
            return output.INTERRUPTED
    for failure in fetched.failed:
        output.note(f"farm: {failure}")
    if as_json:
        output.print_json(
            {
                "directory": str(fetched.directory),
                "clips": fetched.clips,
                "downloaded": fetched.downloaded,
                "unchanged": fetched.unchanged,
                "failed": fetched.failed,
            }
        )
    else:
        output.say(
            f"{directory}: {words.plural(fetched.clips, 'take')}, "
            f"{words.plural(fetched.downloaded, 'file')} downloaded, "
            f"{fetched.unchanged} there already"
        )
    return output.FAILED if fetched.failed else output.OK


@command
def cancel(
    batch: BatchArgument,
    names: ClipArguments = None,
    reason: Annotated[str, typer.Option(help="Why; it is kept with the clips.")] = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Cancel a batch, or the clips named. Takes that are finished stay."""
    from farm.client.plain import plain

    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        answer = farm.cancel(batch, names or [], reason=reason)
    if as_json:
        output.print_json(plain(answer))
    else:
        output.say(
            f"batch {answer.batch.batch_id}: {words.plural(answer.cancelled, 'clip')} cancelled"
        )
    return output.OK


@command
def retry(
    batch: BatchArgument,
    names: ClipArguments = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    cancelled: Annotated[
        bool, typer.Option("--cancelled", help="All that were cancelled.")
    ] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Queue failed or cancelled clips again; they go on from their checkpoints."""
    from farm.client.plain import plain
    from heliostat.v1 import types_pb2 as types

    if not (names or failed or cancelled):
        raise typer.BadParameter("name clips, or say --failed or --cancelled", param_hint="CLIP")
    states = [types.CLIP_STATE_FAILED] * (failed or not cancelled)
    states += [types.CLIP_STATE_CANCELLED] * (cancelled or not failed)
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        answer = farm.retry(batch, names or [], states=states)
    if as_json:
        output.print_json(plain(answer))
    else:
        output.say(f"batch {answer.batch.batch_id}: {words.plural(answer.requeued, 'clip')} queued")
    return output.OK
