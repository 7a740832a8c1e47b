"""A cut's empty shots as a batch: what an edit still waits for.

Empty are clips whose media is missing, and gaps of the lowest video track (on those above, a gap
only lets through what lies below). A nested stack or sequence that holds an empty shot is refused
by its name: its own cut would have to be guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote, urlsplit

import opentimelineio as otio
import yaml

from farm.media.errors import BadDelivery
from farm.media.files import appearing
from farm.media.times import timecode_at

_PROMPT_KEYS: Final = ("prompt", "description", "note", "notes", "comment", "comments")
_SHOTS_MAX: Final = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class EmptyShot:
    """A shot to be rendered."""

    name: str
    prompt: str
    """Empty where the cut says nothing of it."""
    frames: int
    """At `fps`, handles counted in."""
    fps: int
    track: str
    at: str
    """Timecode of its place in the cut."""
    handle_in: int
    handle_out: int


@dataclass(slots=True)
class EmptyShots:
    """What was found."""

    shots: list[EmptyShot] = field(default_factory=list)
    filled: int = 0
    """Shots that have their media."""
    notes: list[str] = field(default_factory=list)
    """What is in the cut and will not be in the takes."""


def empty_shots(
    path: Path, *, handles: int = 0, gaps: bool = True, lost_files: bool = False
) -> EmptyShots:
    """Read a cut, of any kind that OpenTimelineIO has an adapter for. Raises `BadDelivery`.

    `handles` frames more are asked for at either end. `lost_files` counts clips as empty, too,
    whose files are not where the cut says.
    """
    cut = _read(path)
    found = EmptyShots()
    reader = _Reader(found, path.parent if lost_files else None, handles)
    start = cut.global_start_time
    for number, track in enumerate(cut.video_tracks()):
        name = track.name or f"V{number + 1}"
        refused = [item for item in track if isinstance(item, otio.core.Composition)]
        for item in refused:
            _check_nested(item, name, reader)
        reader.track(track, name, start, gaps=gaps and number == 0)
    return found


def write_batch(found: EmptyShots, path: Path) -> None:
    """The shots as a file that `farm submit` reads. Raises `BadDelivery` when there is none."""
    if not found.shots:
        raise BadDelivery(f"the cut has no empty shots ({found.filled} have their media)")
    lines = [
        "# Shots that a cut still waits for. Whatever has no prompt needs one: `farm validate`",
        "# names them. Frames have the handles in them that the cut was asked for.",
        "clips:",
    ]
    for shot in found.shots:
        lines += _entry(shot)
    with appearing(path) as part:
        part.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _entry(shot: EmptyShot) -> list[str]:
    values: Mapping[str, Any] = {
        "id": shot.name,
        "prompt": shot.prompt,
        "frames": shot.frames,
        "fps": shot.fps,
        "cut_track": shot.track,
        "cut_at": shot.at,
        "handle_in": shot.handle_in,
        "handle_out": shot.handle_out,
    }
    text = yaml.safe_dump(dict(values), allow_unicode=True, sort_keys=False, width=10_000)
    first, *rest = text.splitlines()
    return [f"  - {first}", *(f"    {line}" for line in rest)]


def _read(path: Path) -> Any:
    if not path.is_file():
        raise BadDelivery(f"{path}: there is no such file")
    try:
        cut = otio.adapters.read_from_file(str(path))
    except Exception as error:  # adapters raise whatever their parsers do
        why = " ".join(str(error).split())[:200] or type(error).__name__
        raise BadDelivery(
            f"{path}: it cannot be read ({why}); export it as OpenTimelineIO (.otio),"
            " Final Cut 7 XML (.xml) or CMX 3600 (.edl)"
        ) from error
    if isinstance(cut, otio.schema.SerializableCollection):
        cuts = [each for each in cut if isinstance(each, otio.schema.Timeline)]
        cut = cuts[0] if len(cuts) == 1 else cut
    if not isinstance(cut, otio.schema.Timeline):
        what = type(cut).__name__
        raise BadDelivery(f"{path}: it holds a {what} and not one timeline; export one sequence")
    return cut


def _check_nested(item: Any, track: str, reader: _Reader) -> None:
    """Raise `BadDelivery` where a nested composition holds an empty shot."""
    empty = [clip.name or "unnamed" for clip in item.find_clips() if reader.is_empty(clip)]
    if empty:
        kind = "stack" if isinstance(item, otio.schema.Stack) else "sequence"
        raise BadDelivery(
            f"track {track}, {item.name or 'an unnamed item'!r}: a nested {kind} holds the empty"
            f" shots {', '.join(empty[:5])}; flatten it in the edit, or export it by itself"
        )


class _Reader:
    """Gathers the empty shots of one track after the other."""

    def __init__(self, found: EmptyShots, folder: Path | None, handles: int) -> None:
        self._found = found
        self._folder = folder
        """Where relative references start; None believes that every file is there."""
        self._handles = handles
        self._names: set[str] = set()

    def is_empty(self, clip: Any) -> bool:
        """Its media is missing."""
        media = clip.media_reference
        if media is None or media.is_missing_reference:
            return True
        url = getattr(media, "target_url", "")
        if isinstance(media, otio.schema.ExternalReference) and not url:
            return True
        if self._folder is None or not url:
            return False
        parts = urlsplit(url)
        if parts.scheme not in ("", "file"):
            return False
        return not (self._folder / unquote(parts.path)).exists()

    def track(self, track: Any, name: str, start: Any, *, gaps: bool) -> None:
        """Everything that is empty on a track."""
        for index, item in enumerate(track):
            if isinstance(item, otio.schema.Transition):
                continue
            where = f"track {name}, {item.name or f'item {index + 1}'!r}"
            if isinstance(item, otio.schema.Gap):
                empty = gaps
            elif isinstance(item, otio.schema.Clip):
                empty = self.is_empty(item)
            else:
                self._found.notes.append(f"{where}: nested, and all of it has media")
                empty = False
            if not empty:
                self._found.filled += not isinstance(item, otio.schema.Gap)
                continue
            if len(self._found.shots) == _SHOTS_MAX:
                raise BadDelivery(f"more than {_SHOTS_MAX} empty shots: export a shorter sequence")
            self._add(track, index, item, name, where, start)

    def _add(self, track: Any, index: int, item: Any, name: str, where: str, start: Any) -> None:
        span = track.trimmed_range_of_child_at_index(index)
        length, rate = span.duration, span.duration.rate
        if rate < 1 or length.value < 1:
            return  # a filler without length
        fps = round(rate)
        if abs(rate - fps) > 1e-6:
            self._note_once(
                f"the cut runs at {rate:g} fps: takes have {fps}, their frames are the cut's;"
                f" `farm rendition --fps {rate:g}` conforms them"
            )
        before, after = _overlaps(track, index, self._found.notes, where)
        for effect in item.effects:
            kind = effect.effect_name or type(effect).__name__
            self._found.notes.append(f"{where}: the effect {kind} is left to the edit")
        at = span.start_time if start is None else span.start_time + start.rescaled_to(rate)
        head, tail = self._handles + before, self._handles + after
        self._found.shots.append(
            EmptyShot(
                name=self._name(item, name, index),
                prompt=_prompt(item),
                frames=round(length.value) + head + tail,
                fps=fps,
                track=name,
                at=timecode_at(round(at.value), Fraction(fps)),
                handle_in=head,
                handle_out=tail,
            )
        )

    def _name(self, item: Any, track: str, index: int) -> str:
        plain = " ".join(item.name.split()) if item.name else f"{track}_{index + 1:03}"
        name, count = plain, 1
        while name.casefold() in self._names:
            count += 1
            name = f"{plain}_{count}"
        self._names.add(name.casefold())
        return name

    def _note_once(self, note: str) -> None:
        if note not in self._found.notes:
            self._found.notes.append(note)


def _overlaps(track: Any, index: int, notes: list[str], where: str) -> tuple[int, int]:
    """Frames that transitions need of a shot before and after its place."""
    before = track[index - 1] if index else None
    after = track[index + 1] if index + 1 < len(track) else None
    found = [0, 0]
    if isinstance(before, otio.schema.Transition):
        found[0] = round(before.in_offset.value)
    if isinstance(after, otio.schema.Transition):
        found[1] = round(after.out_offset.value)
    if any(found):
        notes.append(f"{where}: {sum(found)} frames more for its transitions")
    return found[0], found[1]


def _prompt(item: Any) -> str:
    """What the cut says of a shot: our own metadata, anybody's notes, or its markers."""
    own = item.metadata.get("heliostat", {})
    said = list(_said(own)) or list(_said(item.metadata))
    for marker in item.markers:
        said += [getattr(marker, "comment", "") or marker.name, *_said(marker.metadata)]
    return next((" ".join(text.split()) for text in said if text and text.strip()), "")


def _said(metadata: Any, depth: int = 0) -> Iterator[str]:
    """Texts under names that stand for a description, at any depth, the plainest first."""
    if depth > 8 or not hasattr(metadata, "items"):
        return
    items = list(metadata.items())
    for wanted in _PROMPT_KEYS:
        for key, value in items:
            if str(key).casefold() != wanted:
                continue
            if isinstance(value, str) and not re.fullmatch(r"\s*", value):
                yield value
            elif hasattr(value, "__iter__") and not hasattr(value, "items"):
                text = " ".join(each for each in value if isinstance(each, str))
                if text.strip():
                    yield text
    for _, value in items:
        yield from _said(value, depth + 1)
