"""Which key an artifact has: computed here alone, from what the ledger says of its clip."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from farm.coordinator.artifacts import KINDS
from farm.domain.names import object_key
from farm.gateway.threads import Threads
from farm.ports import Ledger
from heliostat.v1 import types_pb2 as types_pb

PLACES_MAX: Final = 20_000
"""Clips whose place is remembered."""


@dataclass(frozen=True, slots=True)
class ArtifactForm:
    """How a kind of artifact is written down."""

    ext: str
    content_type: str


FORMS: Final = MappingProxyType(
    {
        types_pb.ARTIFACT_KIND_SEGMENT: ArtifactForm("m4s", "video/iso.segment"),
        types_pb.ARTIFACT_KIND_INIT: ArtifactForm("mp4", "video/mp4"),
        types_pb.ARTIFACT_KIND_NEGATIVE: ArtifactForm("safetensors", "application/octet-stream"),
        types_pb.ARTIFACT_KIND_TAKE: ArtifactForm("mp4", "video/mp4"),
        types_pb.ARTIFACT_KIND_SIDECAR: ArtifactForm("json", "application/json"),
        types_pb.ARTIFACT_KIND_EMBEDDINGS: ArtifactForm("safetensors", "application/octet-stream"),
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a clip's objects are; never changes."""

    project: str
    batch_id: str
    batch_name: str
    name: str
    version: int

    def key(self, attempt: int, artifact: types_pb.Artifact) -> str:
        """The key of an attempt's artifact. Raises ValueError for what cannot be one.

        The batch is there by its id: two batches may have one name, and are purged apart.
        """
        form = FORMS.get(artifact.kind)
        if form is None:
            raise ValueError(f"{artifact.kind} is no kind of artifact")
        if artifact.size_bytes == 0:
            raise ValueError("an artifact of 0 bytes")
        return object_key(
            project=self.project,
            batch=self.batch_id,
            clip=self.name,
            version=self.version,
            attempt=attempt,
            kind=KINDS[artifact.kind],
            sha256_hex=artifact.sha256,
            ext=form.ext,
            chunk=artifact.chunk,
        )


class Places:
    """Clips' places, read from the ledger once each."""

    def __init__(self, ledger: Ledger, threads: Threads) -> None:
        self._ledger = ledger
        self._threads = threads
        self._known: OrderedDict[str, Place] = OrderedDict()
        self._reading = asyncio.Lock()

    async def of(self, clip_ids: Collection[str]) -> dict[str, Place]:
        """Those of the clips that there are."""
        wanted = dict.fromkeys(clip_ids)
        if wanted.keys() - self._known.keys():
            async with self._reading:
                new = [clip_id for clip_id in wanted if clip_id not in self._known]
                self._known.update(await self._threads.run(self._read, new) if new else {})
        found = {clip_id: self._known[clip_id] for clip_id in wanted if clip_id in self._known}
        for clip_id in found:
            self._known.move_to_end(clip_id)
        while len(self._known) > PLACES_MAX:
            self._known.popitem(last=False)
        return found

    def _read(self, clip_ids: list[str]) -> dict[str, Place]:
        rows = self._ledger.clip_rows(clip_ids)
        batches = {
            batch_id: self._ledger.find_batch(batch_id)
            for batch_id in {row.clip.batch_id for row in rows.values()}
        }
        return {
            clip_id: Place(
                project=batches[row.clip.batch_id].project,
                batch_id=row.clip.batch_id,
                batch_name=batches[row.clip.batch_id].name,
                name=row.name,
                version=row.version,
            )
            for clip_id, row in rows.items()
        }
