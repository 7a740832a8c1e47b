"""`farm looks`, `farm approve`, `farm reject`, `farm score`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from farm.cli import output, words
from farm.cli.batches import ClipArguments
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

ScoreMin = Annotated[
    float | None, typer.Option("--score-min", help="Only clips with this score or a higher one.")
]
ScoreBelow = Annotated[
    float | None, typer.Option("--score-below", help="Only clips with a lower score than this.")
]
Note = Annotated[str, typer.Option(help="What was seen; kept with the clips.")]


@command
def looks(
    batch: BatchArgument,
    directory: Annotated[
        Path | None,
        typer.Option("--open", metavar="DIR", help="Fetch the first chunks as MP4 files into DIR."),
    ] = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the clips that wait for a first look, with their scores and their first chunks."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        if directory is None:
            found = [(clip, clip.preview.segment_url) for clip in farm.looks(batch)]
        else:
            opened = farm.open_looks(batch, directory)
            found = [(each.clip, str(each.path)) for each in opened]
    if as_json:
        for clip, path in found:
            output.print_json_line({**plain(clip), "path": path if directory else None})
        return output.OK
    if not found:
        output.say("no clip waits for a first look")
        return output.OK
    columns = ("row", "clip", "score", "note", *(("first chunk",) if directory else ()))
    output.print_table(
        columns,
        (
            (str(clip.row), clip.name, words.score(clip), clip.look.note, where)[: len(columns)]
            for clip, where in found
        ),
        {0, 2},
    )
    if directory is None:
        output.note(f"`farm looks {batch} --open DIR` fetches their first chunks to be watched")
    return output.OK


@command
def approve(
    batch: BatchArgument,
    names: ClipArguments = None,
    score_min: ScoreMin = None,
    score_below: ScoreBelow = None,
    note: Note = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Let held clips go on: all, those named, or those whose scores fit."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        answer = farm.approve(
            batch, names or [], score_min=score_min, score_below=score_below, note=note
        )
    if as_json:
        output.print_json(plain(answer))
    else:
        count = words.plural(answer.clips, "clip")
        output.say(
            f"batch {answer.batch.batch_id}: {count} approved, {answer.batch.clips.held} held"
        )
    return output.OK


@command
def reject(
    batch: BatchArgument,
    names: ClipArguments = None,
    score_min: ScoreMin = None,
    score_below: ScoreBelow = None,
    every: Annotated[bool, typer.Option("--all", help="Every clip that is held.")] = False,
    note: Note = "",
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Call held clips off: those named, those whose scores fit, or --all."""
    from farm.client.plain import plain

    if not (names or every or score_min is not None or score_below is not None):
        raise typer.BadParameter("name clips, or say --score-below or --all", param_hint="CLIP")
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        answer = farm.reject(
            batch, names or [], score_min=score_min, score_below=score_below, note=note
        )
    if as_json:
        output.print_json(plain(answer))
    else:
        count = words.plural(answer.clips, "clip")
        output.say(
            f"batch {answer.batch.batch_id}: {count} rejected, {answer.batch.clips.held} held"
        )
    return output.OK


@command
def score(
    batch: BatchArgument,
    given: Annotated[
        list[str] | None,
        typer.Argument(metavar="[CLIP=SCORE]...", help="A number; higher is better."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--file", help="CSV with the columns clip and score, and maybe note."),
    ] = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Score clips, for `farm approve --score-min`. Decides nothing by itself."""
    scores, notes = _read_scores(file) if file else ({}, {})
    scores |= _scores(given or [])
    if not scores:
        raise typer.BadParameter(
            "write CLIP=4, or name a --file of scores", param_hint="CLIP=SCORE"
        )
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        count = farm.score(batch, scores, notes=notes)
    if as_json:
        output.print_json({"clips": count})
    else:
        output.say(f"batch {batch}: {words.plural(count, 'clip')} scored")
    return output.OK


def _scores(given: Sequence[str]) -> dict[str, float]:
    found = {}
    for text in given:
        name, equals, number = text.rpartition("=")
        if not equals:
            raise typer.BadParameter(f"{text!r}: write it as CLIP=4", param_hint="CLIP=SCORE")
        found[name] = _number(number, name)
    return found


def _read_scores(path: Path) -> tuple[dict[str, float], dict[str, str]]:
    """Scores and notes by clip, from a CSV."""
    scores, notes = {}, {}
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = csv.DictReader(stream)
        if not {"clip", "score"} <= set(rows.fieldnames or ()):
            raise typer.BadParameter(
                f"{path} has no columns clip and score in its header", param_hint="--file"
            )
        for row in rows:
            name = row["clip"] or ""
            scores[name] = _number(row["score"] or "", f"{name} (line {rows.line_num})")
            if note := row.get("note"):
                notes[name] = note
    return scores, notes


def _number(text: str, clip: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no score of clip {clip}: write a number", param_hint="CLIP=SCORE"
        ) from None
