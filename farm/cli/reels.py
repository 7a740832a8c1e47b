"""`farm reels`: the negatives of fetched takes."""

from __future__ import annotations

from typing import Annotated

import typer

from farm.cli import output, words
from farm.cli.folders import Approved, Folder, taken
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command, connect, settings


@command
def reels(
    directory: Folder,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLIP]...", help="Names or ids; none is all takes of the folder."),
    ] = None,
    approved: Approved = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Download the negatives of fetched takes beside them, verified; goes on where it ended.

    `farm-node redecode`, `extend` and `branch` work on them, and `farm rendition --negatives`.
    """
    takes = taken(directory, approved=approved)
    wanted = set(names or [])
    if unknown := wanted - {name for take in takes for name in (take.name, take.clip_id)}:
        raise typer.BadParameter(f"{directory} has no take of {sorted(unknown)[0]}")
    chosen = [t for t in takes if not wanted or {t.name, t.clip_id} & wanted]
    made, sizes = [], list[int]()
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)
    with connect(found) as farm:
        for take in chosen:
            made.append(farm.fetch_reel(take.clip_id, take.path, on_bytes=sizes.append))
            if not as_json:
                output.say(str(made[-1]))
    if as_json:
        output.print_json({"reels": [str(path) for path in made], "bytes": sum(sizes)})
    else:
        output.note(f"{words.plural(len(made), 'reel')}, {sum(sizes) / 1e6:.1f} MB downloaded")
    return output.OK
