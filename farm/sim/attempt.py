"""A simulated card's hold on a lease, and the messages that it makes of it."""

from __future__ import annotations

from dataclasses import dataclass

from farm.domain.clip import CHUNK_FRAMES, Work, chunks_of
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

AttemptKey = tuple[str, int]
"""Clip id and attempt."""

_SHA = "5" * 64
_SIZES = {
    types_pb.ARTIFACT_KIND_SEGMENT: 250_000,
    types_pb.ARTIFACT_KIND_NEGATIVE: 2_200_000,
    types_pb.ARTIFACT_KIND_TAKE: 1_000_000,
    types_pb.ARTIFACT_KIND_SIDECAR: 4_000,
}
_NAMES = {
    types_pb.ARTIFACT_KIND_SEGMENT: "segment",
    types_pb.ARTIFACT_KIND_NEGATIVE: "negative",
    types_pb.ARTIFACT_KIND_TAKE: "take",
    types_pb.ARTIFACT_KIND_SIDECAR: "sidecar",
}


@dataclass(slots=True, eq=False)
class Attempt:
    """One lease, as its card works on it."""

    key: AttemptKey
    frames: int
    work: Work
    next_chunk: int
    """The chunk to be rendered next; the earlier ones are made."""
    chunks_max: int = 0
    """Yield once so many of the clip's chunks are made; 0 is never."""
    started: bool = False
    finishing: bool = False
    """Nothing more is rendered: it needs no slot any more."""
    yield_asked: bool = False
    yielded: bool = False
    delivering: int = 0
    """Chunks made and not recorded yet."""
    failure: node_pb.FailureReport | None = None

    @classmethod
    def of(cls, lease: node_pb.Lease) -> Attempt:
        """From a lease with its order."""
        spec = lease.order.spec
        return cls(
            key=(lease.clip_id, lease.attempt),
            frames=spec.frames,
            work=Work(spec.height, spec.width, tuple(spec.steps)),
            next_chunk=len(lease.order.recorded),
            chunks_max=lease.chunks_max,
            yield_asked=lease.yield_asked,
        )

    @property
    def chunks(self) -> int:
        """Of the whole clip."""
        return chunks_of(self.frames)

    @property
    def is_to_yield(self) -> bool:
        """No further chunk is to begin, though the clip has more."""
        at_limit = 0 < self.chunks_max <= self.next_chunk < self.chunks
        return at_limit or (self.yield_asked and self.next_chunk < self.chunks)

    def entry(self) -> node_pb.OutboxEntry:
        """A report, still without its content."""
        return node_pb.OutboxEntry(clip_id=self.key[0], attempt=self.key[1])

    def chunk_entry(self, chunk: int, seconds: float, joules: float) -> node_pb.OutboxEntry:
        """A chunk is rendered and uploaded."""
        entry = self.entry()
        entry.chunk.chunk = chunk
        entry.chunk.frames = min(CHUNK_FRAMES, self.frames - chunk * CHUNK_FRAMES)
        entry.chunk.render_seconds, entry.chunk.energy_joules = seconds, joules
        for kind in (types_pb.ARTIFACT_KIND_SEGMENT, types_pb.ARTIFACT_KIND_NEGATIVE):
            entry.chunk.artifacts.append(self._artifact(kind, chunk))
        return entry

    def take_entry(self) -> node_pb.OutboxEntry:
        """The take is put together and uploaded."""
        entry = self.entry()
        entry.take.frames = self.frames
        entry.take.video.CopyFrom(self._artifact(types_pb.ARTIFACT_KIND_TAKE))
        entry.take.sidecar.CopyFrom(self._artifact(types_pb.ARTIFACT_KIND_SIDECAR))
        return entry

    def _artifact(self, kind: types_pb.ArtifactKind.ValueType, chunk: int = 0) -> types_pb.Artifact:
        """An object, with the key that the gateway would give it."""
        key = f"{self.key[0]}/a{self.key[1]}/{_NAMES[kind]}-{chunk:05d}"
        return types_pb.Artifact(
            kind=kind, chunk=chunk, sha256=_SHA, size_bytes=_SIZES[kind], key=key
        )
