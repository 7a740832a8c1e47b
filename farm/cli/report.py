"""`farm report`: one HTML file that tells all of a batch, to be kept or mailed."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import output, words
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

if TYPE_CHECKING:
    from farm.client import Farm
    from farm.client.report import Sources


@command
def report(
    batch: BatchArgument,
    out: Annotated[
        Path | None,
        typer.Option("--out", "-o", help="The file to write.", show_default="BATCH-report.html"),
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=0, max=500, help="Takes of which a picture is shown, at most.")
    ] = 200,
    no_pictures: Annotated[
        bool, typer.Option("--no-pictures", help="No contact sheet: no take is downloaded.")
    ] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Write a batch's report: contact sheet, timings, energy, cost, failures, quality, models.

    One HTML file that needs nothing else; prompts are in it. Works while the batch runs, too.
    """
    from farm.client.report import gather
    from farm.client.report_view import report_page
    from farm.media.files import appearing

    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        sources = gather(farm, batch, datetime.now(UTC).astimezone())
        if pictures and not no_pictures:
            sources = _with_pictures(farm, sources, pictures)
    target = out or Path(f"{sources.batch.batch_id}-report.html")
    text = report_page(sources)
    with appearing(target) as part:
        part.write_text(text, encoding="utf-8")
    size = target.stat().st_size
    if as_json:
        output.print_json(
            {
                "file": str(target),
                "bytes": size,
                "clips": len(sources.clips),
                "pictures": len(sources.pictures),
            }
        )
    else:
        clips = words.plural(len(sources.clips), "clip")
        shown = words.plural(len(sources.pictures), "picture")
        output.say(f"{target}: {clips}, {shown}, {words.size(size)}")
        for note in sources.notes:
            output.note(f"farm: {note}")
    return output.OK


def _with_pictures(farm: Farm, sources: Sources, most: int) -> Sources:
    """With what the takes look like; without what that needs, with a note that says so."""
    from farm.client.clip_filter import ClipFilter
    from farm.client.errors import FetchFailed
    from farm.client.report import evenly
    from farm.media.errors import BadDelivery, MissingExtra, extra
    from heliostat.v1 import types_pb2 as types

    done = [clip for clip in sources.clips if clip.state == types.CLIP_STATE_DONE]
    if not done:
        return sources
    try:
        with extra(), tempfile.TemporaryDirectory(prefix="farm-") as folder:
            from farm.media.takes import takes_of
            from farm.media.thumbnails import pictures_of

            only = ClipFilter(clips=[clip.clip_id for clip in evenly(done, most)])
            fetched = farm.fetch(sources.batch.batch_id, Path(folder), only=only)
            made = pictures_of(takes_of(Path(folder), every_version=True))
    except (MissingExtra, FetchFailed, BadDelivery) as error:
        return replace(sources, notes=[*sources.notes, f"No pictures: {error}"])
    missing = [f"{len(fetched.failed)} takes could not be had."] if fetched.failed else []
    return replace(sources, pictures=made, notes=[*sources.notes, *missing])
