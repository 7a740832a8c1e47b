"""`farm rendition`, `farm timeline`, `farm batch-from-cut`: to and from an edit suite."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from farm.cli import output, words
from farm.cli.folders import Approved, Folder, Order, Versions, taken
from farm.cli.options import Json, command
from farm.media.errors import extra

if TYPE_CHECKING:
    from farm.media.rendition import How, Made
    from farm.media.takes import Take

Codec = Literal["prores", "h264", "h265", "av1", "png"]
Handles = Annotated[
    int, typer.Option(min=0, help="Frames at either end that are room to trim, not the shot.")
]


@command
def rendition(
    directory: Folder,
    out: Annotated[Path, typer.Option(help="The folder to write into.", show_default=False)],
    codec: Annotated[
        Codec, typer.Option(help="prores is 422 HQ; png a sequence of pictures.")
    ] = "prores",
    size: Annotated[
        str, typer.Option(metavar="WxH", show_default="the take's", help="As 1920x1080, 1080x1920.")
    ] = "",
    fit: Annotated[
        Literal["crop", "pad"], typer.Option(help="How it comes to another shape.")
    ] = "crop",
    fps: Annotated[
        str, typer.Option(metavar="RATE", show_default="the take's", help="As 25 or 23.976.")
    ] = "",
    retime: Annotated[
        Literal["conform", "nearest", "blend"],
        typer.Option(
            help="conform: the same frames, faster or slower; nearest, blend: the same speed, with"
            " frames doubled and left out, or mixed."
        ),
    ] = "conform",
    crf: Annotated[
        int | None, typer.Option(help="Constant quality, lower is better; h264, h265 and av1.")
    ] = None,
    handles: Handles = 0,
    start_timecode: Annotated[
        str, typer.Option(help="Of the first frame after the handles.", show_default="none")
    ] = "",
    negatives: Annotated[
        bool,
        typer.Option(
            "--negatives",
            help="Decode each take from its reel first, by `farm-node redecode`: no loss at all.",
        ),
    ] = False,
    model: Annotated[Path | None, typer.Option(help="Where the model is, for --negatives.")] = None,
    approved: Approved = False,
    all_versions: Versions = False,
    as_json: Json = False,
) -> int:
    """Make deliveries of takes: another encoding, size, shape, rate, with timecode.

    Made of a take's negatives where they are decoded without loss (NAME.mkv beside it, or
    --negatives); else of the take itself, which makes a second generation of it. Takes are only
    read.
    """
    with extra():
        from farm.media import rendition as renditions

        how = renditions.asked(
            renditions.Codec(codec),
            size=size,
            fit=renditions.Fit(fit),
            fps=fps,
            retime=renditions.Retime(retime),
            crf=crf,
            handles=handles,
            start_timecode=start_timecode,
        )
        made = []
        for take in taken(directory, approved=approved, every_version=all_versions):
            target = renditions.target_of(take, directory, out, how.codec)
            made.append((take, _make(take, target, how, negatives, model)))
            if not as_json:
                output.say(_line(*made[-1]))
    if as_json:
        output.print_json({"renditions": [_facts(*each) for each in made]})
    return output.OK


@command
def timeline(
    directory: Folder,
    out: Annotated[
        Path,
        typer.Option(help=".otio, .xml (Final Cut 7) or .edl (CMX 3600).", show_default=False),
    ],
    approved: Approved = False,
    order: Order = "row",
    handles: Handles = 0,
    start_timecode: Annotated[str, typer.Option(help="Of the timeline.")] = "01:00:00:00",
    as_json: Json = False,
) -> int:
    """Write the takes as a cut, one after another: each clip's latest, or latest approved one."""
    with extra():
        from farm.media.timeline import write_timeline

        takes = taken(directory, approved=approved, order=order)
        write_timeline(takes, out, handles=handles, start_timecode=start_timecode)
    frames = sum(take.frames - 2 * handles for take in takes)
    if as_json:
        output.print_json({"file": str(out), "clips": len(takes), "frames": frames})
    else:
        output.say(f"{out}: {words.plural(len(takes), 'clip')}, {frames} frames")
    return output.OK


@command
def batch_from_cut(
    cut: Annotated[Path, typer.Argument(metavar="CUT", help="An .otio, .xml or .edl.")],
    out: Annotated[Path, typer.Option(help="The batch to write, a .yaml.", show_default=False)],
    handles: Annotated[
        int, typer.Option(min=0, help="Frames more at either end of each shot.")
    ] = 0,
    no_gaps: Annotated[
        bool, typer.Option("--no-gaps", help="Gaps of the lowest track are meant to be empty.")
    ] = False,
    lost_files: Annotated[
        bool, typer.Option("--lost-files", help="Clips whose files are not there are empty, too.")
    ] = False,
    as_json: Json = False,
) -> int:
    """Make a batch of a cut's empty shots: gaps, and clips without their media.

    A prompt comes from a clip's metadata, notes or markers; a shot without one gets an empty
    prompt, which no farm accepts until it is filled in.
    """
    with extra():
        from farm.media.cut import empty_shots, write_batch

        found = empty_shots(cut, handles=handles, gaps=not no_gaps, lost_files=lost_files)
        write_batch(found, out)
    missing = [shot.name for shot in found.shots if not shot.prompt]
    for note in found.notes:
        output.note(f"farm: {note}")
    if as_json:
        output.print_json(
            {
                "file": str(out),
                "shots": json.loads(json.dumps([asdict(shot) for shot in found.shots])),
                "filled": found.filled,
                "without_prompt": missing,
                "notes": found.notes,
            }
        )
        return output.OK
    output.say(
        f"{out}: {words.plural(len(found.shots), 'empty shot')}, {found.filled} have their media"
    )
    if missing:
        first = ", ".join(missing[:5]) + (", ..." if len(missing) > 5 else "")
        output.note(f"farm: {words.plural(len(missing), 'shot')} without a prompt: {first}")
    return output.OK


def _make(take: Take, target: Path, how: How, negatives: bool, model: Path | None) -> Made:
    from farm.media.negatives import decoded
    from farm.media.rendition import rendition as made_of

    if not negatives:
        return made_of(take, target, how)
    with decoded(take, model) as master:
        return made_of(take, target, how, master)


def _line(take: Take, made: Made) -> str:
    rate = float(made.fps)
    source = "the negatives" if made.lossless_source else "the take (second generation)"
    text = f"{made.path}: {made.frames} frames, {made.size[0]}x{made.size[1]}, {rate:g} fps"
    if made.frames == take.frames and made.fps != take.fps:
        text += f" ({rate / take.fps - 1:+.1%} in speed)"
    return f"{text}, from {source}"


def _facts(take: Take, made: Made) -> dict[str, object]:
    return {
        "clip_id": take.clip_id,
        "path": str(made.path),
        "frames": made.frames,
        "fps": str(made.fps),
        "width": made.size[0],
        "height": made.size[1],
        "source": "negatives" if made.lossless_source else "take",
        "start_timecode": made.start_timecode,
    }
