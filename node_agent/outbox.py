"""What the agent has to tell or to ask the farm, kept until it is answered.

Every exchange carries all of it, so a message lost in either direction costs one exchange and
nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

AttemptKey = tuple[str, int]
"""Clip id and attempt."""

ENTRIES_MAX = 10_000
"""Reports that may wait for an answer; far above what a card can hold attempts for."""

IntentKey = tuple[str, int, int, int, str]
"""Clip id, attempt, kind, chunk, SHA-256."""


@dataclass(slots=True)
class _Entry:
    message: node_pb.OutboxEntry
    verdict: asyncio.Future[node_pb.Verdict]


@dataclass(slots=True)
class _Intent:
    message: node_pb.UploadIntent
    grant: asyncio.Future[node_pb.Grant]


class Outbox:
    """Reports waiting for their verdict, and artifacts waiting for a URL."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        """Set when there is something new to say."""
        self._entries: dict[int, _Entry] = {}
        self._intents: dict[IntentKey, _Intent] = {}
        self._sequence = 0

    @property
    def is_empty(self) -> bool:
        """Nothing waits for an answer."""
        return not self._entries and not self._intents

    async def report(self, message: node_pb.OutboxEntry) -> node_pb.Verdict:
        """Report, and wait for a verdict other than LATER."""
        if len(self._entries) >= ENTRIES_MAX:
            raise RuntimeError(f"{ENTRIES_MAX} reports wait for an answer: the farm gives none")
        self._sequence += 1
        message.sequence = self._sequence
        entry = _Entry(message, asyncio.get_running_loop().create_future())
        self._entries[message.sequence] = entry
        self.changed.set()
        try:
            return await entry.verdict
        finally:
            self._entries.pop(message.sequence, None)

    async def grant(self, key: AttemptKey, artifact: types_pb.Artifact) -> node_pb.Grant:
        """Ask for a URL to upload an artifact to, and wait for it."""
        message = node_pb.UploadIntent(clip_id=key[0], attempt=key[1], artifact=artifact)
        intent = _Intent(message, asyncio.get_running_loop().create_future())
        index = _intent_key(message)
        self._intents[index] = intent
        self.changed.set()
        try:
            return await intent.grant
        finally:
            self._intents.pop(index, None)

    def fill(self, request: node_pb.ExchangeRequest) -> None:
        """Put everything that waits into a request."""
        request.outbox.extend(entry.message for entry in self._entries.values())
        request.intents.extend(intent.message for intent in self._intents.values())

    def settle(self, verdicts: Iterable[node_pb.Verdict]) -> bool:
        """Hand out verdicts. True when some entry has to be reported again."""
        later = False
        for verdict in verdicts:
            entry = self._entries.get(verdict.sequence)
            if verdict.outcome == node_pb.Verdict.OUTCOME_LATER:
                later = True
            elif entry is not None and not entry.verdict.done():
                entry.verdict.set_result(verdict)
        return later

    def hand_out(self, grants: Iterable[node_pb.Grant]) -> None:
        """Hand out URLs."""
        for grant in grants:
            intent = self._intents.get(_intent_key(grant))
            if intent is not None and not intent.grant.done():
                intent.grant.set_result(grant)


def _intent_key(message: node_pb.UploadIntent | node_pb.Grant) -> IntentKey:
    artifact = message.artifact
    return (message.clip_id, message.attempt, artifact.kind, artifact.chunk, artifact.sha256)
