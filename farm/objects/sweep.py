"""Which objects nobody needs: what lost attempts left behind. The caller lists and deletes."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from farm.domain.clip import ClipState
from farm.domain.ledger import ChunkRow, ClipRow
from farm.domain.names import batch_prefix, parse_object_key, slug
from farm.ports import ObjectInfo

ORPHAN_SECONDS: Final = 86_400.0
"""An object that no row names is left alone for so long: its report may be on its way."""

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
