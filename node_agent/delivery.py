"""From files on disk to the farm's record: ask for URLs, upload, report, until it is settled."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from node_agent.failpoints import reach
from node_agent.outbox import AttemptKey
from node_agent.render.messages import FileRecord
from node_agent.spans import upload_span
from node_agent.upload import Refused, Unavailable, UrlExpired
from node_agent.workbench import Workbench

STORE_DOWN_SECONDS = 2.0
"""Pause before a finished file is offered again to a store that did not take it."""


class StaleAttempt(Exception):
    """The farm wants this attempt no more: drop its work."""


class AttemptFailed(Exception):
    """The attempt cannot go on, and the farm has to be told."""

    def __init__(self, failure: types_pb.FailureClass.ValueType, message: str) -> None:
        super().__init__(message)
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of an attempt, as the farm knows it."""

    kind: types_pb.ArtifactKind.ValueType
    chunk: int
    sha256: str
    size: int

    @classmethod
    def of(cls, kind: types_pb.ArtifactKind.ValueType, chunk: int, file: FileRecord) -> Artifact:
        """The artifact that a file is."""
        return cls(kind, chunk, file.sha256, file.size)

    @property
    def message(self) -> types_pb.Artifact:
        """As it travels."""
        return types_pb.Artifact(
            kind=self.kind, chunk=self.chunk, sha256=self.sha256, size_bytes=self.size
        )


class Delivery:
    """The way of one attempt's files and reports to the farm."""

    def __init__(self, key: AttemptKey, tools: Workbench) -> None:
        self._key = key
        self._tools = tools

    async def deliver(self, artifacts: Mapping[Artifact, Path], entry: node_pb.OutboxEntry) -> None:
        """Upload, then report; once more when the farm does not find what was uploaded.

        Returns when it is recorded. Raises `StaleAttempt`, `AttemptFailed`.
        """
        while True:
            await asyncio.gather(*(self._upload(a, path) for a, path in artifacts.items()))
            reach("agent.take.uploaded" if entry.HasField("take") else "agent.chunk.uploaded")
            verdict = await self.report(entry)
            if verdict.outcome == node_pb.Verdict.OUTCOME_RECORDED:
                return

    async def report(self, entry: node_pb.OutboxEntry) -> node_pb.Verdict:
        """Report, and wait for the verdict. Raises `StaleAttempt`."""
        message = node_pb.OutboxEntry()
        message.CopyFrom(entry)
        message.clip_id, message.attempt = self._key
        verdict = await self._tools.outbox.report(message)
        if verdict.outcome == node_pb.Verdict.OUTCOME_STALE:
            raise StaleAttempt(verdict.reason)
        return verdict

    async def _upload(self, artifact: Artifact, path: Path) -> None:
        """Upload one file, however often the store has to be asked (REL-6: the file is kept)."""
        counters, loop = self._tools.counters, asyncio.get_running_loop()
        expired = 0
        while True:
            grant = await self._tools.outbox.grant(self._key, artifact.message)
            began = loop.time()
            try:
                put = self._tools.transfer.put
                await asyncio.to_thread(put, grant.url, dict(grant.headers), path)
            except UrlExpired:
                expired += 1
                if expired > 1:  # fresh ones too: the farm's clock and the store's may differ
                    await asyncio.sleep(STORE_DOWN_SECONDS)
                continue
            except Unavailable:
                await asyncio.sleep(STORE_DOWN_SECONDS)
                continue
            except Refused as error:
                raise AttemptFailed(
                    types_pb.FAILURE_CLASS_STORAGE, f"{path.name} was not taken: {error}"
                ) from error
            seconds = loop.time() - began
            upload_span(self._tools, self._key, artifact.message, seconds)
            counters.upload_seconds += seconds
            counters.bytes_uploaded += artifact.size
            reach("agent.object.uploaded")
            return
