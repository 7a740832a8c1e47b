"""Where the picture or video lies that a clip starts from: on the nodes, below a root that they
share, or in the farm's bucket.

Nothing is read here. A path is put in order lexically and held against the directories that the
farm takes files from; the node resolves links and looks again before it opens anything.
"""

from __future__ import annotations

import posixpath
import re
from typing import Final

from farm.domain.roots import is_place, place_below, rooted
from farm.domain.values import BadValue, Limits, control_character, shown

PATH_CHARS_MAX: Final = 4096
KEY_BYTES_MAX: Final = 1024
"""The longest key that S3 takes."""

INPUT_BYTES_MAX: Final = 4 << 30
"""Of one picture or video: what nodes read."""

_OBJECT: Final = "s3://"
_WINDOWS: Final = re.compile(r"[A-Za-z]:[\\/]|\\\\")


def source(text: str, limits: Limits) -> str:
    """An absolute path in order, `ROOT:/PATH`, or `s3://BUCKET/KEY` in the farm's own bucket."""
    if len(text) > PATH_CHARS_MAX:
        raise BadValue(f"{len(text)} characters are too many", f"keep to {PATH_CHARS_MAX}")
    control = control_character(text)
    if control or any(c in text for c in "\n\r\t"):
        raise BadValue(
            f"{shown(text)} holds {control or 'a tab or line end'}", "remove that character"
        )
    if text[: len(_OBJECT)].casefold() == _OBJECT:
        return _object(text, limits)
    place = rooted(text, limits.roots) or text
    if is_place(place):
        return place_below(place, limits.roots)
    if _WINDOWS.match(text):
        known = [root.windows for root in limits.roots if root.windows]
        where = f"below none of the farm's roots ({', '.join(known)})" if known else "of one desk"
        raise BadValue(
            f"{shown(text)} is a path of Windows, {where}",
            f"put it below a root, or into the farm's bucket: {_example(limits)}",
        )
    if "://" in text:
        raise BadValue(
            f"{shown(text)}: nodes fetch nothing from the web",
            f"put it into the farm's bucket and write {_example(limits)}",
        )
    if not text.startswith("/"):
        raise BadValue(
            f"{shown(text)} is no absolute path", f"write it from / on, or {_example(limits)}"
        )
    return _path(text, limits)


def object_key(place: str) -> str | None:
    """The key of an `s3://BUCKET/KEY` that `source` accepted; None for a path."""
    if not place.startswith(_OBJECT):
        return None
    return place.removeprefix(_OBJECT).partition("/")[2]


def _object(text: str, limits: Limits) -> str:
    bucket, _, key = text[len(_OBJECT) :].partition("/")
    if bucket != limits.bucket:
        raise BadValue(
            f"{shown(bucket)} is not the farm's bucket", f"put it there: {_example(limits)}"
        )
    if not key or key.endswith("/") or {".", ".."} & set(key.split("/")):
        # S3 knows no way up, but what stands between node and store may.
        raise BadValue(f"{shown(text)} names no object", f"write {_example(limits)}")
    if len(key.encode()) > KEY_BYTES_MAX:
        raise BadValue(
            f"the key has {len(key.encode())} bytes", f"keep to the {KEY_BYTES_MAX} of S3"
        )
    return f"{_OBJECT}{bucket}/{key}"


def _path(text: str, limits: Limits) -> str:
    path = "/" + posixpath.normpath(text).lstrip("/")
    if limits.inputs is None:
        return path
    if not limits.inputs:
        raise BadValue(
            "the farm takes no files of its nodes",
            f"put it into its bucket and write {_example(limits)}, "
            "or have the farm started with --inputs DIR",
        )
    if not any(path.startswith(f"{directory.rstrip('/')}/") for directory in limits.inputs):
        raise BadValue(
            f"{shown(path)} is not below {' or '.join(limits.inputs)}",
            f"put it there, or into the farm's bucket: {_example(limits)}",
        )
    return path


def _example(limits: Limits) -> str:
    return f"{_OBJECT}{limits.bucket}/KEY"
