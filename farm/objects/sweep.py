"""Which objects nobody needs: what lost attempts left behind. The caller lists and deletes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

from farm.domain.clip import ClipState
from farm.domain.inputs import object_key
from farm.domain.ledger import ChunkRow, ClipRow
from farm.domain.names import batch_prefix, inputs_prefix, is_input_key, parse_object_key, slug
from farm.ports import Ledger, ObjectInfo, ObjectStore, Upload

ORPHAN_SECONDS: Final = 86_400.0
"""An object that no row names is left alone for so long: its report may be on its way."""

UPLOAD_SECONDS: Final = 7 * 86_400.0
"""An upload in parts may be gone on with for so long."""

_OF_TAKES: Final = frozenset({"take", "sidecar"})


def clip_prefix(project: str, batch_id: str, row: ClipRow) -> str:
    """What the keys of a clip's objects begin with, of this version of it."""
    return f"{batch_prefix(project, batch_id)}{slug(row.name)}/v{row.version:03}/"


def may_have_orphans(row: ClipRow) -> bool:
    """Only what was tried more than once, or has no take, left something behind."""
    return row.clip.attempt > 1 or (row.clip.attempt == 1 and row.take is None)


def named_by(row: ClipRow, chunks: Iterable[ChunkRow]) -> set[str]:
    """The keys that the ledger names for a clip."""
    keys = {stored.key for chunk in chunks for stored in chunk.objects}
    if row.take is not None:
        keys |= {row.take.video.key, row.take.sidecar.key}
    return keys


def orphans(
    infos: Iterable[ObjectInfo], row: ClipRow, named: Collection[str], now: float
) -> Iterator[ObjectInfo]:
    """Those of a clip's objects that can go; never one that a row names.

    A key that is not the farm's stays; so does what the attempt that is under way may have
    uploaded before it reports it, and a take as long as the clip may still get it as its own.
    `infos` have to be listed before `row` and `named` are read.
    """
    clip = row.clip
    for info in infos:
        key = parse_object_key(info.key)
        if key is None or info.key in named or info.modified_at > now - ORPHAN_SECONDS:
            continue
        if clip.state is ClipState.LEASED and key.attempt >= clip.attempt:
            continue
        if key.kind in _OF_TAKES and not clip.ended:
            continue
        yield info


class InputSweep:
    """Which input files no clip needs any more, and which uploads nobody goes on with."""

    def __init__(
        self, ledger: Ledger, objects: ObjectStore, is_promised: Callable[[str], bool]
    ) -> None:
        self._ledger = ledger
        self._objects = objects
        self._is_promised = is_promised

    def unneeded(self, project: str, now: float) -> Iterator[ObjectInfo]:
        """Files of a project that no clip names which may still be rendered, nor may soon.

        What came within `ORPHAN_SECONDS` stays: its submission may be on its way.
        """
        old = [
            info
            for info in self._objects.list(inputs_prefix(project))
            if is_input_key(info.key) and info.modified_at <= now - ORPHAN_SECONDS
        ]
        needed = {object_key(place) for place in self._ledger.input_places()} if old else set()
        for info in old:
            if info.key not in needed and not self._is_promised(info.key):
                yield info

    def unfinished(self, project: str, now: float) -> list[Upload]:
        """Uploads in parts that were begun too long ago."""
        begun = self._objects.uploads(inputs_prefix(project))
        return [each for each in begun if each.begun_at <= now - UPLOAD_SECONDS]
