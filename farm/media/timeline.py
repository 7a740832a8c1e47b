"""A folder's takes as a cut: OpenTimelineIO, and through its adapters Final Cut 7 XML and EDL.

One clip after another on one track, each with a reference to its take: relative to the timeline's
file in OpenTimelineIO, a `file://` URL in XML, whose readers know no other; an EDL names reels
alone, eight letters each, with file and clip in comments, and begins at 00:00:00:00.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import opentimelineio as otio

from farm.media.errors import BadDelivery
from farm.media.files import appearing
from farm.media.takes import Take
from farm.media.times import frames_at

ENDINGS: Final = {".otio": "otio_json", ".xml": "fcp_xml", ".edl": "cmx_3600"}
_REEL_CHARS: Final = 8


def write_timeline(
    takes: Sequence[Take], path: Path, *, handles: int = 0, start_timecode: str = "01:00:00:00"
) -> None:
    """Write the cut, of a kind that the ending says. Raises `BadDelivery`, OSError.

    `handles` frames at either end of each take stay out of the cut, as room to trim.
    """
    if path.suffix not in ENDINGS:
        raise BadDelivery(f"{path}: a timeline's name ends in {', '.join(ENDINGS)}")
    cut = timeline_of(takes, path, handles=handles, start_timecode=start_timecode)
    options: dict[str, Any] = {}
    if path.suffix == ".edl":
        rates = sorted({take.fps for take in takes})
        if len(rates) > 1:
            named = ", ".join(map(str, rates))
            raise BadDelivery(f"{path}: an EDL has one rate, these takes have {named}; use .otio")
        options = {"rate": float(rates[0]), "reelname_len": _REEL_CHARS}
    text = otio.adapters.write_to_string(cut, ENDINGS[path.suffix], **options)
    with appearing(path) as part:
        part.write_text(text, encoding="utf-8")


def timeline_of(
    takes: Sequence[Take], path: Path, *, handles: int = 0, start_timecode: str = "01:00:00:00"
) -> Any:
    """The cut as OpenTimelineIO has it, for a file at `path`."""
    if not takes:
        raise BadDelivery("there are no takes for a timeline")
    cut = otio.schema.Timeline(name=path.stem)
    rate = takes[0].fps
    start = frames_at(start_timecode, Fraction(rate))
    cut.global_start_time = otio.opentime.RationalTime(start, rate)
    cut.metadata["heliostat"] = {"batch_id": takes[0].batch_id, "batch": takes[0].batch}
    track = otio.schema.Track(name="V1", kind=otio.schema.TrackKind.Video)
    reels = reel_names([take.label for take in takes])
    track.extend(_clip(take, path, handles, reel) for take, reel in zip(takes, reels, strict=True))
    cut.tracks.append(track)
    return cut


def reel_names(names: Sequence[str]) -> list[str]:
    """Names as an EDL can hold them: eight of A-Z, 0-9 and `_`, each once."""
    taken: set[str] = set()
    found = []
    for number, name in enumerate(names, 1):
        plain = re.sub(r"[^A-Z0-9]+", "_", name.upper()).strip("_")
        reel = plain[:_REEL_CHARS] or f"R{number}"
        count = 1
        while reel in taken:
            count += 1
            tail = f"_{count}"
            reel = plain[: _REEL_CHARS - len(tail)] + tail
        taken.add(reel)
        found.append(reel)
    return found


def _clip(take: Take, path: Path, handles: int, reel: str) -> Any:
    if 2 * handles >= take.frames:
        raise BadDelivery(
            f"--handles {handles}: {take.label} has {take.frames} frames, nothing is left"
        )
    time = otio.opentime.RationalTime
    span = otio.opentime.TimeRange(time(0, take.fps), time(take.frames, take.fps))
    kept = otio.opentime.TimeRange(
        time(handles, take.fps), time(take.frames - 2 * handles, take.fps)
    )
    media = otio.schema.ExternalReference(target_url=_url(take.path, path), available_range=span)
    media.name = take.path.name
    about = {
        "clip_id": take.clip_id,
        "clip": take.name,
        "version": take.version,
        "seed": take.seed,
        "prompt": take.prompt,
        "sha256": take.sha256,
        "review": take.verdict,
        "columns": dict(take.columns),
    }
    return otio.schema.Clip(
        name=take.label,
        media_reference=media,
        source_range=kept,
        metadata={"heliostat": about, "cmx_3600": {"reel": reel}},
    )


def _url(film: Path, path: Path) -> str:
    if path.suffix == ".xml":
        return film.resolve().as_uri()
    relative = Path(os.path.relpath(film.resolve(), path.parent.resolve())).as_posix()
    return relative if path.suffix == ".edl" else quote(relative)
