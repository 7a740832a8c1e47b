"""`farm looks`, `farm review`, `farm approve`, `farm reject`, `farm score`."""

from __future__ import annotations

import csv
import getpass
import socket
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from farm.cli import filters, output, words
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

if TYPE_CHECKING:
    from farm.client import Farm
    from farm.client.reviewing import Judged
    from farm.config import FarmConfig
    from heliostat.v1 import types_pb2 as types

ScoreMin = Annotated[
    float | None, typer.Option("--score-min", help="Only clips with this score or a higher one.")
]
ScoreBelow = Annotated[
    float | None, typer.Option("--score-below", help="Only clips with a lower score than this.")
]
Takes = Annotated[bool, typer.Option("--takes", help="All takes that nobody has reviewed yet.")]
By = Annotated[
    str | None,
    typer.Option(
        "--by", metavar="WHO", help="Who says it. [default: the setting reviewer, or USER@HOST]"
    ),
]
Note = Annotated[str, typer.Option(help="What was seen; kept with the clips.")]


@command
def looks(
    batch: BatchArgument,
    directory: Annotated[
        Path | None,
        typer.Option("--open", metavar="DIR", help="Fetch the first chunks as MP4 files into DIR."),
    ] = None,
    wait: Annotated[
        bool, typer.Option("--wait", help="First wait until every clip has come so far, or ended.")
    ] = False,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the clips that wait for a first look, with their scores and their first chunks."""
    from farm.client.plain import plain

    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        if wait:
            _wait_for_looks(farm, batch)
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


def _wait_for_looks(farm: Farm, batch: str) -> None:
    """Return when no clip of a batch renders any more, or will without somebody's look."""
    found = farm.get(batch)
    if not _is_under_way(found):
        return
    for event in farm.watch(found.batch_id, until_ended=False, on_interrupted=output.note):
        if event.HasField("batch") and not _is_under_way(event.batch):
            return


def _is_under_way(batch: types.Batch) -> bool:
    return bool(batch.clips.waiting or batch.clips.queued or batch.clips.leased)


@command
def approve(
    batch: BatchArgument,
    names: ClipArguments = None,
    takes: Takes = False,
    where: filters.Where = None,
    score_min: ScoreMin = None,
    score_below: ScoreBelow = None,
    note: Note = "",
    by: By = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Approve clips: takes of those that are done are reviewed, held ones go on.

    By their names, held and done ones mixed; without any name all that are held, or those whose
    scores fit, or with --takes all takes that nobody has reviewed yet, of which --where picks.
    """
    only = _only(where, names, takes=takes)
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir, reviewer=by)
    with connect(found) as farm:
        if takes or (names and score_min is None and score_below is None):
            clips = names or [clip.clip_id for clip in farm.awaiting_review(batch, only)]
            return _judge(farm, found, batch, clips, note, approve=True, as_json=as_json)
        answer = farm.approve(
            batch, names or [], score_min=score_min, score_below=score_below, note=note
        )
    from farm.client.reviewing import Judged

    return _said(Judged(answer.clips, 0, answer.batch), "approved", as_json=as_json)


@command
def reject(
    batch: BatchArgument,
    names: ClipArguments = None,
    takes: Takes = False,
    where: filters.Where = None,
    score_min: ScoreMin = None,
    score_below: ScoreBelow = None,
    every: Annotated[bool, typer.Option("--all", help="Every clip that is held.")] = False,
    note: Note = "",
    by: By = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """Reject clips: takes of those that are done are reviewed, held ones are called off.

    Those named, held and done ones mixed; held ones whose scores fit, or --all of them; or with
    --takes all takes that nobody has reviewed yet, of which --where picks.
    """
    if not (names or takes or every or score_min is not None or score_below is not None):
        raise typer.BadParameter(
            "name clips, or say --score-below, --all or --takes", param_hint="CLIP"
        )
    only = _only(where, names, takes=takes)
    found = settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir, reviewer=by)
    with connect(found) as farm:
        if takes or (names and score_min is None and score_below is None):
            clips = names or [clip.clip_id for clip in farm.awaiting_review(batch, only)]
            return _judge(farm, found, batch, clips, note, approve=False, as_json=as_json)
        answer = farm.reject(
            batch, names or [], score_min=score_min, score_below=score_below, note=note
        )
    from farm.client.reviewing import Judged

    return _said(Judged(answer.clips, 0, answer.batch), "rejected", as_json=as_json)


@command
def review(
    batch: BatchArgument,
    where: filters.Where = None,
    endpoint: Endpoint = None,
    ca: Ca = None,
    data_dir: DataDir = None,
    config: ConfigFile = None,
    as_json: Json = False,
) -> int:
    """List the takes that nobody has approved or rejected yet, latest versions only."""
    from farm.client.plain import plain

    only = filters.clip_filter(where).where
    with connect(settings(config, endpoint=endpoint, ca=ca, data_dir=data_dir)) as farm:
        found = list(farm.awaiting_review(batch, only))
        counts = farm.get(batch).reviews
    if as_json:
        for clip in found:
            output.print_json_line(plain(clip))
        return output.OK
    if found:
        output.print_table(
            ("row", "clip", "version", "frames", "seed", "score", "file"),
            (
                (
                    str(clip.row),
                    clip.name,
                    f"v{clip.version:03}",
                    str(clip.take.frames),
                    str(clip.spec.seed),
                    words.score(clip),
                    f"{clip.file_name}.mp4",
                )
                for clip in found
            ),
            {0, 3, 4, 5},
        )
    output.say(
        f"{words.plural(len(found), 'take')} to review, {counts.approved:,} approved, "
        f"{counts.rejected:,} rejected"
    )
    return output.OK


def _only(
    where: Sequence[str] | None, names: Sequence[str] | None, *, takes: bool
) -> Mapping[str, Sequence[str]]:
    """What --where asks of the takes that await review."""
    if where and (names or not takes):
        raise typer.BadParameter(
            "say --takes with it and name no clips, for it picks among the takes to review",
            param_hint="--where",
        )
    return filters.clip_filter(where).where


def _judge(
    farm: Farm,
    found: FarmConfig,
    batch: str,
    clips: Sequence[str],
    note: str,
    *,
    approve: bool,
    as_json: bool,
) -> int:
    """Approve or reject clips by their names or ids."""
    if not clips:
        output.say("no take waits for a review")
        return output.OK
    reviewer = found.reviewer or login()
    judged = farm.judge(batch, clips, approve=approve, reviewer=reviewer, note=note)
    return _said(judged, "approved" if approve else "rejected", as_json=as_json)


def _said(judged: Judged, word: str, *, as_json: bool) -> int:
    from farm.client.plain import plain

    batch, reviews = judged.batch, judged.batch.reviews
    if as_json:
        count = judged.looks + judged.takes
        output.print_json(
            {"clips": count, "held": judged.looks, "takes": judged.takes, "batch": plain(batch)}
        )
        return output.OK
    said = []
    if judged.takes:
        said.append(
            f"{words.plural(judged.takes, 'take')} {word}, {reviews.awaiting:,} to review, "
            f"{reviews.approved:,} approved, {reviews.rejected:,} rejected"
        )
    if judged.looks or not said:
        said.append(f"{words.plural(judged.looks, 'clip')} {word}, {batch.clips.held} held")
    output.say(f"batch {batch.batch_id}: {'; '.join(said)}")
    return output.OK


def login() -> str:
    """Who says it where nobody is named: USER@HOST."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # an account without a name
        user = "unknown"
    return f"{user}@{socket.gethostname()}"


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
