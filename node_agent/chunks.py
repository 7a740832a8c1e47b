"""The files of a clip's chunks on this node: fetched from the farm, or made here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.delivery import STORE_DOWN_SECONDS, AttemptFailed
from node_agent.orders import read_marks
from node_agent.render.renderer import needed_negatives
from node_agent.sidecar import ChunkRecord
from node_agent.upload import Missing, ObjectTransfer, Refused, Unavailable, UrlExpired

SEGMENT = types_pb.ARTIFACT_KIND_SEGMENT
INIT = types_pb.ARTIFACT_KIND_INIT
NEGATIVE = types_pb.ARTIFACT_KIND_NEGATIVE
EMBEDDINGS = types_pb.ARTIFACT_KIND_EMBEDDINGS


@dataclass(slots=True)
class ChunkFiles:
    """Where a clip's segments, negatives and embeddings lie, and how its chunks were made."""

    init: Path | None = None
    embeddings: Path | None = None
    segments: dict[int, Path] = field(default_factory=dict)
    negatives: dict[int, Path] = field(default_factory=dict)
    records: dict[int, ChunkRecord] = field(default_factory=dict)
    vae: str = ""
    """What decoded those that were made here."""

    def keep(self, chunk: int, kind: types_pb.ArtifactKind.ValueType, path: Path) -> None:
        """Note a file."""
        if kind == SEGMENT:
            self.segments[chunk] = path
        elif kind == NEGATIVE:
            self.negatives[chunk] = path
        elif kind == INIT:
            self.init = path
        elif kind == EMBEDDINGS:
            self.embeddings = path

    def check_encoder(self, init: Path) -> None:
        """Chunks that go on from others must have been encoded like them: one header fits all.

        Raises `AttemptFailed` where the first chunk's init segment is not this one.
        """
        if self.init is not None and self.init.read_bytes() != init.read_bytes():
            raise AttemptFailed(
                types_pb.FAILURE_CLASS_NODE,
                "its first chunks are of another encoder than this node's, and do not make one film"
                " with what is encoded here: nodes of one farm need the same FFmpeg",
            )


async def fetch(
    recorded: Sequence[node_pb.RecordedChunk],
    directory: Path,
    transfer: ObjectTransfer,
    *,
    skip_first_chunk: bool = False,
) -> ChunkFiles:
    """Download what earlier attempts made: all segments, and what a render goes on from.

    Raises `AttemptFailed` when an object is gone or damaged; waits for a store that is down.
    """
    files = ChunkFiles()
    wanted = needed_negatives(len(recorded), skip_first_chunk=skip_first_chunk)
    downloads = []
    for chunk in recorded:
        files.records[chunk.chunk] = ChunkRecord(
            chunk=chunk.chunk,
            frames=chunk.frames,
            render_seconds=chunk.render_seconds,
            card_id=chunk.card_id,
            attempt=chunk.attempt,
            energy_joules=chunk.energy_joules if chunk.HasField("energy_joules") else None,
            lanes=chunk.lanes or 1,
            steered=read_marks(chunk.steered),
            profile=chunk.profile or None,
        )
        for source in chunk.artifacts:
            kind = source.artifact.kind
            if kind != NEGATIVE or chunk.chunk in wanted:
                path = directory / f"recorded-{kind}-{chunk.chunk:05}"
                files.keep(chunk.chunk, kind, path)
                downloads.append(_download(source, path, transfer))
    await asyncio.gather(*downloads)
    return files


async def _download(source: node_pb.ArtifactUrl, path: Path, transfer: ObjectTransfer) -> None:
    artifact = source.artifact
    while True:
        try:
            await asyncio.to_thread(
                transfer.get, source.url, path, sha256=artifact.sha256, size=artifact.size_bytes
            )
        except Unavailable:
            await asyncio.sleep(STORE_DOWN_SECONDS)
        except (UrlExpired, Missing, Refused) as error:
            raise AttemptFailed(
                types_pb.FAILURE_CLASS_STORAGE,
                f"chunk {artifact.chunk} of an earlier attempt cannot be fetched: {error}",
            ) from error
        else:
            return
