"""`farm sheet`, `farm preview`, `farm review-copy`: what people look at."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from farm.cli import output, words
from farm.cli.folders import (
    Approved,
    Folder,
    FontFile,
    Order,
    Versions,
    Where,
    farm_settings,
    folder_of,
    note_unwritable,
    own_place,
    taken,
)
from farm.cli.options import Ca, ConfigFile, DataDir, Endpoint, Json, command
from farm.media.errors import extra

Columns = Annotated[
    int, typer.Option(min=1, max=100, help="Pictures in a row; wedges have theirs.")
]
Width = Annotated[int, typer.Option(min=32, max=4096, help="Pixels of each picture.")]
Labels = Annotated[
    list[str] | None,
    typer.Option(
        "--label",
        metavar="NAMES",
        help="A line below each picture: shot, version, seed, prompt, or columns of the batch's"
        " own, apart by commas; may be repeated.",
        show_default="shot,version and prompt",
    ),
]


@command
def sheet(
    where: Where,
    out: Annotated[
        Path | None, typer.Option(help="The image to write.", show_default="DIR/sheet.png")
    ] = None,
    columns: Columns = 4,
    width: Width = 240,
    label: Labels = None,
    html: Annotated[
        bool, typer.Option("--html", help="One HTML file that holds its pictures.")
    ] = False,
    font: FontFile = None,
    approved: Approved = False,
    all_versions: Versions = False,
    order: Order = "row",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Draw a contact sheet: the middle frame of every take, wedges as grids by their axes."""
    with extra():
        from farm.media.page import contact_page
        from farm.media.sheet import LABELS, Look, contact_sheet, lines_of

        look = Look(columns=columns, width=width, labels=tuple(label or LABELS), font=font)
        target = out or own_place(where, "sheet.html" if html else "sheet.png")
        with folder_of(where, farm_settings(endpoint, ca, data_dir, config)) as folder:
            takes = taken(folder, approved=approved, every_version=all_versions, order=order)
            if html or target.suffix in (".html", ".htm"):
                contact_page(takes, target, look)
            else:
                note_unwritable([line for t in takes for line in lines_of(t, look.labels)], font)
                contact_sheet(takes, target, look)
    return _said(f"{target}: {words.plural(len(takes), 'take')}", [target], as_json=as_json)


@command
def preview(
    where: Where,
    out: Annotated[
        Path | None,
        typer.Option(
            help="The folder of the previews, or the file of a --sheet.",
            show_default="DIR/previews",
        ),
    ] = None,
    width: Width = 320,
    fps: Annotated[int, typer.Option(min=1, max=60, help="Pictures per second.")] = 12,
    seconds: Annotated[
        float | None, typer.Option(min=0.1, help="Not longer than so.", show_default="the take")
    ] = None,
    kind: Annotated[Literal["webp", "gif"], typer.Option("--format")] = "webp",
    one: Annotated[bool, typer.Option("--sheet", help="One moving contact sheet.")] = False,
    columns: Columns = 4,
    label: Labels = None,
    font: FontFile = None,
    approved: Approved = False,
    all_versions: Versions = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Make small moving pictures of the takes, WebP or GIF."""
    with extra():
        from farm.media import preview as previews
        from farm.media.sheet import LABELS, Look

        motion = previews.Motion(fps=fps, seconds=seconds)
        with folder_of(where, farm_settings(endpoint, ca, data_dir, config)) as folder:
            takes = taken(folder, approved=approved, every_version=all_versions)
            if one:
                look = Look(columns=columns, width=width, labels=tuple(label or LABELS), font=font)
                made = [out or own_place(where, f"sheet.{kind}")]
                previews.moving_sheet(takes, made[0], look, motion)
            else:
                place = out or own_place(where, "previews")
                made = []
                for take in takes:
                    name = take.path.relative_to(folder).with_suffix(f".{kind}")
                    previews.preview(take, place / name, width, motion)
                    made.append(place / name)
    shown = made[0] if one else place
    return _said(f"{shown}: {words.plural(len(made), 'preview')}", made, as_json=as_json)


@command
def review_copy(
    directory: Folder,
    slate: Annotated[
        float, typer.Option(min=0, max=60, help="Seconds of slate before the take.")
    ] = 2.0,
    start_timecode: Annotated[
        str, typer.Option(help="Of each take's first frame.")
    ] = "01:00:00:00",
    font: FontFile = None,
    approved: Approved = False,
    all_versions: Versions = False,
    as_json: Json = False,
) -> int:
    """Make review copies with slate and burn-in into `review` beside the takes.

    The slate says project, shot, version, prompt, seed, model and date; shot, version, seed,
    frame and timecode are burnt in. The takes themselves are only read.
    """
    with extra():
        from farm.media import review_copy as copies

        takes = taken(directory, approved=approved, every_version=all_versions)
        note_unwritable([text for take in takes for text in (take.name, take.prompt)], font)
        made = []
        for take in takes:
            path = copies.review_path(take)
            copies.review_copy(
                take,
                path,
                slate_frames=round(slate * take.fps),
                start_timecode=start_timecode,
                font=font,
            )
            made.append(path)
    return _said(
        f"{directory}: {words.plural(len(made), 'film')} for review", made, as_json=as_json
    )


def _said(text: str, made: list[Path], *, as_json: bool) -> int:
    if as_json:
        output.print_json({"files": [str(path) for path in made]})
    else:
        output.say(text)
    return output.OK
