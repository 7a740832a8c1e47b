"""Spans of what a card does for an attempt, told when it is over."""

from __future__ import annotations

import time

from heliostat.traces import attempt_path
from heliostat.v1 import types_pb2 as types_pb
from node_agent.outbox import AttemptKey
from node_agent.render.messages import ChunkDone
from node_agent.workbench import Workbench


def chunk_span(tools: Workbench, key: AttemptKey, chunk: ChunkDone) -> None:
    """A chunk has just been written: it was rendered, with its lanes' companions, and encoded."""
    clip_id, attempt = key
    ended = time.time()
    tools.spans.emit(
        clip_id,
        ("chunk", attempt, chunk.chunk),
        parent=attempt_path(attempt),
        start=ended - chunk.render_seconds * (chunk.lanes or 1) - chunk.encode_seconds,
        end=ended,
        attributes={
            "heliostat.card_id": tools.card_id,
            "heliostat.chunk": chunk.chunk,
            "heliostat.frames": chunk.frames,
            "heliostat.render_seconds": chunk.render_seconds,
            "heliostat.encode_seconds": chunk.encode_seconds,
        },
    )


def upload_span(
    tools: Workbench, key: AttemptKey, artifact: types_pb.Artifact, seconds: float
) -> None:
    """A file has just been uploaded, in so many seconds."""
    clip_id, attempt = key
    kind = types_pb.ArtifactKind.Name(artifact.kind).removeprefix("ARTIFACT_KIND_").lower()
    ended = time.time()
    tools.spans.emit(
        clip_id,
        ("upload", attempt, kind, artifact.chunk),
        parent=attempt_path(attempt),
        start=ended - seconds,
        end=ended,
        attributes={
            "heliostat.card_id": tools.card_id,
            "heliostat.kind": kind,
            "heliostat.chunk": artifact.chunk,
            "heliostat.bytes": artifact.size_bytes,
        },
    )
