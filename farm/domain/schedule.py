"""The prompts that follow a clip's first one, each from a chunk or a time on.

In a cell they stand on lines of their own, or apart by ` | `, as `MARK: PROMPT`; files with
structure may have a list of `{at, prompt, blend_chunks}`, which arrives as JSON. A mark is a chunk
(`4`, `chunk 4`) or a time (`5s`, `2.5s`).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Final

from farm.domain import values
from farm.domain.clip import CHUNK_FRAMES, chunks_of
from farm.domain.spec import ClipSpec, PromptMark
from farm.domain.values import BadValue, Limits, shown

BLEND_CHUNKS_MAX: Final = 100

_BETWEEN: Final = re.compile(r"\s*[\r\n]+\s*|\s+\|\s+")
_CHUNK: Final = re.compile(r"(?:chunk\s*)?([0-9]{1,6})", re.IGNORECASE)
_SECONDS: Final = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)\s*s", re.IGNORECASE)
_KEYS: Final = ("at", "prompt", "blend_chunks")
_REMEDY: Final = "write MARK: PROMPT, such as 4: The cat wakes. or 5s: The cat wakes."
_LIST_REMEDY: Final = 'write each as {"at": "5s", "prompt": "The cat wakes."}'


@dataclass(frozen=True, slots=True)
class Entry:
    """A prompt of a schedule as it was written: its chunk depends on the clip's frame rate."""

    mark: str
    at: int | Fraction
    """A chunk, or seconds of the clip."""
    prompt: str
    blend_chunks: int | None = None
    """None: the row's."""

    def chunk(self, fps: int) -> int:
        """The chunk that it begins with: of a time, the first that begins then or later."""
        return self.at if isinstance(self.at, int) else math.ceil(self.at * fps / CHUNK_FRAMES)


def blend_chunks(text: str) -> int:
    """Over how many chunks a new prompt takes over; 1 is at once."""
    return values.whole_number(text, 1, BLEND_CHUNKS_MAX)


def entries(text: str, limits: Limits) -> tuple[Entry, ...]:
    """A schedule as it is written, its marks not yet held against a clip."""
    if text.startswith("["):
        return tuple(_from_mapping(item, limits) for item in _list(text))
    return tuple(_from_line(line, limits) for line in _BETWEEN.split(text) if line.strip())


def marks_of(
    found: Sequence[Entry], *, frames: int, fps: int, blend: int
) -> tuple[tuple[PromptMark, ...], list[BadValue]]:
    """The schedule of a clip, and all that is wrong with its marks."""
    marks: list[PromptMark] = []
    bad: list[BadValue] = []
    chunks, last = chunks_of(frames), 0
    for entry in found:
        chunk = entry.chunk(fps)
        where = f"chunk {chunk}" if isinstance(entry.at, int) else f"{entry.mark} (chunk {chunk})"
        if chunk >= chunks:
            bad.append(_outside(where, chunks, fps))
        elif chunk <= last:
            what = "has two prompts" if chunk == last else f"comes after chunk {last}"
            bad.append(BadValue(f"{where} {what}", "give each chunk one prompt, in their order"))
        else:
            marks.append(PromptMark(chunk, entry.prompt, entry.blend_chunks or blend))
            last = chunk
    return tuple(marks), bad


def effective_schedule(spec: ClipSpec, steered: Sequence[PromptMark]) -> ClipSpec:
    """The clip with the prompts that it really followed, as if they had been asked for at once.

    `steered` are the changes while it rendered, as its last recorded chunk that counts has them
    (`ChunkRow.steered`); one at chunk 0 takes the place of the prompt itself.
    """
    if not steered:
        return spec
    marks = {mark.chunk: mark for mark in (*spec.schedule, *steered)}
    first = marks.pop(0, None)
    return replace(
        spec,
        prompt=first.prompt if first else spec.prompt,
        schedule=tuple(marks[chunk] for chunk in sorted(marks)),
        mode="interactive" if marks else spec.mode,
    )


def _outside(where: str, chunks: int, fps: int) -> BadValue:
    if chunks == 1:
        return BadValue(
            f"{where} is not inside the clip, which is one chunk",
            f"give it more than {CHUNK_FRAMES} frames, or leave the schedule out",
        )
    last = chunks - 1
    seconds = math.floor(last * CHUNK_FRAMES / fps * 100) / 100
    return BadValue(
        f"{where} is not inside the clip",
        f"choose chunk 1 to {last}, or a time up to {seconds:g}s",
    )


def _from_line(line: str, limits: Limits) -> Entry:
    mark, colon, prompt = line.partition(":")
    at = _at(mark.strip())
    if not colon or at is None:
        raise BadValue(f"{shown(line.strip())} does not begin with a chunk or a time", _REMEDY)
    return _entry(mark.strip(), at, prompt, None, limits)


def _from_mapping(item: Any, limits: Limits) -> Entry:
    if not isinstance(item, dict) or not {"at", "prompt"} <= item.keys():
        raise BadValue(f"{shown(_json(item))} has no at and prompt", _LIST_REMEDY)
    if unknown := [key for key in item if key not in _KEYS]:
        raise BadValue(f"{shown(unknown[0])} is no part of a prompt's place", _LIST_REMEDY)
    mark, prompt, blend = (item.get(key) for key in _KEYS)
    at = _at(str(mark).strip())
    if at is None:
        raise BadValue(f"{shown(_json(mark))} is no chunk and no time", "write 4, or 5s")
    if not isinstance(prompt, str | None):
        raise BadValue(f"{shown(_json(prompt))} is no prompt", "write it as a text")
    own = None if blend is None else blend_chunks(str(blend).strip())
    return _entry(str(mark).strip(), at, prompt or "", own, limits)


def _entry(mark: str, at: int | Fraction, prompt: str, blend: int | None, limits: Limits) -> Entry:
    if at == 0:
        raise BadValue(
            f"{shown(mark)} is where the clip begins", "write that prompt into the prompt's column"
        )
    prompt = values.prose(prompt.strip(), limits)
    if not prompt:
        raise BadValue(f"the prompt at {shown(mark)} is empty", "write one or remove the mark")
    return Entry(mark, at, prompt, blend)


def _at(mark: str) -> int | Fraction | None:
    if match := _CHUNK.fullmatch(mark):
        return int(match.group(1))
    if match := _SECONDS.fullmatch(mark):
        return Fraction(match.group(1))
    return None


def _list(text: str) -> list[Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise BadValue(f"{shown(text)} is no list", _LIST_REMEDY) from None
    assert isinstance(found, list)  # it begins with a bracket
    return found


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
