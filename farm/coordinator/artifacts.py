"""What artifacts are called, and which of them each kind of report names."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Final

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

KINDS: Final = MappingProxyType(
    {
        types_pb.ARTIFACT_KIND_SEGMENT: "segment",
        types_pb.ARTIFACT_KIND_INIT: "init",
        types_pb.ARTIFACT_KIND_NEGATIVE: "negative",
        types_pb.ARTIFACT_KIND_TAKE: "take",
        types_pb.ARTIFACT_KIND_SIDECAR: "sidecar",
        types_pb.ARTIFACT_KIND_EMBEDDINGS: "embeddings",
    }
)

EXPECTED: Final = MappingProxyType(
    {
        "chunk": ({"segment"}, {"segment", "init", "negative", "embeddings"}),
        "take": ({"take", "sidecar"}, {"take", "sidecar"}),
    }
)
"""Report → the kinds of objects that it must and may have, one of each."""


def artifacts_of(entry: node_pb.OutboxEntry) -> Iterator[types_pb.Artifact]:
    """The artifacts of a report; those of a take are there even where the report lacks them."""
    what = entry.WhichOneof("what")
    if what == "chunk":
        yield from entry.chunk.artifacts
    elif what == "take":
        yield entry.take.video
        yield entry.take.sidecar


def check_shape(entry: node_pb.OutboxEntry) -> None:
    """Raise ValueError for a report that lacks an object, or has one that is not its own."""
    what = entry.WhichOneof("what") or ""
    if what not in EXPECTED:
        return
    artifacts = list(artifacts_of(entry))
    kinds = [KINDS.get(artifact.kind, "unknown") for artifact in artifacts]
    must, may = EXPECTED[what]
    if len(set(kinds)) != len(kinds) or not must <= set(kinds) <= may:
        raise ValueError(f"a {what} has {', '.join(sorted(may))}, this one {', '.join(kinds)}")
    if any(artifact.chunk != entry.chunk.chunk for artifact in artifacts):
        raise ValueError("one of its objects belongs to another chunk")
    if "embeddings" in kinds and entry.chunk.chunk:
        raise ValueError("the prompts' embeddings come with chunk 0 alone")
