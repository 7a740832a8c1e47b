"""What a clip starts from, as files on this node: objects fetched, paths looked at, and paths
below shared storage that this node has mounted under a name.

A path may lead anywhere by its links, so it is resolved before it is held against the directories
that the card takes files from, and what was resolved is what is opened.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Final

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.delivery import STORE_DOWN_SECONDS, AttemptFailed
from node_agent.files import sha256_of_file
from node_agent.upload import Missing, ObjectTransfer, Refused, TooLarge, Unavailable, UrlExpired

INPUT_BYTES_MAX: Final = 4 << 30
"""Of one picture or video."""

_OBJECT: Final = "s3://"
_ROOTED: Final = re.compile(r"([a-z0-9][a-z0-9_-]{1,31}):/(.+)", re.DOTALL)
_BY_CONTENT: Final = re.compile(r"s3://[^/]+/[^/]+/inputs/([0-9a-f]{64})\.[a-z0-9]+")
_NO_ROOTS: Final[Mapping[str, str]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class InputFile:
    """A picture or video that a clip starts from."""

    path: Path
    sha256: str


@dataclass(slots=True)
class Inputs:
    """Those of one clip, by `image` and `video`."""

    files: dict[str, InputFile] = field(default_factory=dict)

    def path(self, name: str) -> str:
        """The file's path, as a renderer takes it; empty where there is none."""
        return str(self.files[name].path) if name in self.files else ""


async def fetch_inputs(
    order: node_pb.ClipOrder,
    directory: Path,
    transfer: ObjectTransfer,
    allowed: Sequence[str] | None,
    roots: Mapping[str, str] = _NO_ROOTS,
) -> Inputs:
    """What the clip starts from, on this disk. `allowed` are directories; None is anywhere.
    `roots` are those of shared storage, by name.

    Raises `AttemptFailed`: of the clip's own fault for a file that is not there, too large or
    out of bounds, of the node's for a root that it has not. Waits for a store that is down.
    """
    urls = {each.name: each.url for each in order.inputs}
    inputs = Inputs()
    for name, place in (("image", order.spec.image), ("video", order.spec.video)):
        if not place:
            continue
        if place.startswith(_OBJECT):
            path = directory / f"input-{name}"
            if name not in urls:
                raise AttemptFailed(types_pb.FAILURE_CLASS_STORAGE, f"no URL came for {place}")
            digest = await _download(place, urls[name], path, transfer)
        else:
            path, digest = await asyncio.to_thread(_look_at, *_bounds(place, allowed, roots))
        inputs.files[name] = InputFile(path, digest)
    return inputs


def _bounds(
    place: str, allowed: Sequence[str] | None, roots: Mapping[str, str]
) -> tuple[str, Sequence[str] | None]:
    """A place's path on this node, and the directories that it must be below."""
    match = _ROOTED.fullmatch(place)
    if match is None:
        return place, allowed
    directory = roots.get(match[1])
    if directory is None:
        why = f"this node has no root {match[1]}: farm-node join --root {match[1]}=DIR"
    elif not Path(directory).is_dir():
        why = f"{directory} is no directory on this node: mount it"
    else:
        return f"{directory}/{match[2]}", [directory]
    raise AttemptFailed(types_pb.FAILURE_CLASS_NODE, f"{place}: {why}")


def _look_at(place: str, allowed: Sequence[str] | None) -> tuple[Path, str]:
    """The file itself and its SHA-256."""
    try:
        path = Path(place).resolve(strict=True)
        if allowed is not None and not any(_is_below(path, each) for each in allowed):
            where = " or ".join(allowed) or "any directory that files are taken from (--inputs)"
            raise _at_fault(f"{place} is not below {where} on this node, it leads to {path}")
        if not path.is_file():
            raise _at_fault(f"{place} is no file")
        if (size := path.stat().st_size) > INPUT_BYTES_MAX:
            raise _at_fault(f"{place} has {size} bytes, at most {INPUT_BYTES_MAX} are read")
        return path, sha256_of_file(path)
    except (OSError, RuntimeError) as error:  # RuntimeError: links that lead in circles
        why = error.strerror if isinstance(error, OSError) else str(error)
        raise _at_fault(f"{place} cannot be read on this node: {why}") from error


def _is_below(path: Path, directory: str) -> bool:
    return path.is_relative_to(Path(directory).resolve())


async def _download(place: str, url: str, path: Path, transfer: ObjectTransfer) -> str:
    named = _BY_CONTENT.fullmatch(place)
    while True:
        try:
            digest = await asyncio.to_thread(transfer.fetch, url, path, size_max=INPUT_BYTES_MAX)
            if named and digest != named[1]:
                raise _at_fault(f"{place} holds other bytes than were announced: {digest}")
            return digest
        except Unavailable:
            await asyncio.sleep(STORE_DOWN_SECONDS)
        except (Missing, TooLarge) as error:
            raise _at_fault(f"{place} cannot be fetched: {error}") from error
        except (UrlExpired, Refused) as error:
            raise AttemptFailed(
                types_pb.FAILURE_CLASS_STORAGE, f"{place} cannot be fetched: {error}"
            ) from error


def _at_fault(message: str) -> AttemptFailed:
    return AttemptFailed(types_pb.FAILURE_CLASS_INPUT, message)
