"""Simulated cards for `exchanges.py`: a card's half of the exchange, many in one process.

They hold what is wanted, report chunks in order and then the take, as an agent does; there are no
files, and no gateway looks for them.
"""

import asyncio
import hashlib
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from farm.fleet_ray.coordinator_link import RayCoordinatorLink
from farm.gateway.coalesce import Coalescer
from farm.gateway.coordinator_link import CoordinatorUnavailable, GatewayBusy
from farm.gateway.settings import Limits
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb

CHUNK_EVERY = 5
"""One exchange of so many carries a chunk: 20%."""
CAPACITY = 2
"""Clips: one renders, one is prefetched."""
CHUNK_FRAMES = 33
KINDS = {
    "segment": types_pb.ARTIFACT_KIND_SEGMENT,
    "negative": types_pb.ARTIFACT_KIND_NEGATIVE,
    "init": types_pb.ARTIFACT_KIND_INIT,
    "take": types_pb.ARTIFACT_KIND_TAKE,
    "sidecar": types_pb.ARTIFACT_KIND_SIDECAR,
}

Attempt = tuple[str, int]


@dataclass
class SimulatedCard:
    """One card, between two exchanges."""

    number: int
    chunks_of: Mapping[str, int]
    """Clip id → chunks; a gateway would send it with the order."""
    held: dict[Attempt, int] = field(default_factory=dict)
    """Attempt → chunks acknowledged."""
    entry: node_pb.OutboxEntry | None = None
    exchanges: int = 0
    chunks: int = 0
    takes: int = 0
    refused: int = 0
    chunk_due: bool = False

    def __post_init__(self) -> None:
        self.exchanges = self.number  # spreads the chunks over the fleet
        self._card = node_pb.CardReport(
            card_id=f"bench-{self.number:04}",
            node_id=f"node-{self.number // 4:04}",
            incarnation="1" * 32,
            hostname=f"machine-{self.number // 4:04}",
            slot=self.number % 4,
            device="cuda:0",
            vram_bytes=16 << 30,
            renderer="testcard",
            condition="ready",
            card_type="rtx-4060-ti",
        )

    def request(self) -> bytes:
        """The next exchange; every fifth has a chunk in its outbox, where one is held."""
        self.exchanges += 1
        self.chunk_due |= self.exchanges % CHUNK_EVERY == 0
        if self.entry is None:
            self.entry = self._next_entry()
        return node_pb.ExchangeRequest(
            card=self._card,
            held=[
                node_pb.HeldAttempt(clip_id=clip_id, attempt=attempt, started=place == 0)
                for place, (clip_id, attempt) in enumerate(self.held)
            ],
            outbox=[self.entry] if self.entry is not None else [],
            capacity=CAPACITY,
            telemetry=types_pb.CardTelemetry(
                frames_rendered=CHUNK_FRAMES * self.chunks,
                chunks_rendered=self.chunks,
                render_seconds=20.0 * self.chunks,
                power_watts=140.0 + self.exchanges % 20,
                energy_joules=300.0 * self.exchanges,
                energy_method="counter",
                temperature_celsius=60.0 + self.exchanges % 9,
                vram_used_bytes=15 << 30,
                utilization_ratio=0.97,
            ),
        ).SerializeToString()

    def answered(self, raw: bytes) -> None:
        """Hold what is wanted; count what was recorded."""
        response = node_pb.ExchangeResponse.FromString(raw)
        for verdict in response.verdicts:
            self._settle(verdict)
        wanted = [(lease.clip_id, lease.attempt) for lease in response.wanted]
        self.held = {attempt: self.held.get(attempt, 0) for attempt in wanted}

    def _settle(self, verdict: node_pb.Verdict) -> None:
        if self.entry is None or verdict.sequence != self.entry.sequence:
            return
        if verdict.outcome != node_pb.Verdict.OUTCOME_RECORDED:
            self.refused += 1
        elif self.entry.WhichOneof("what") == "chunk":
            self.chunks += 1
            self.held[self.entry.clip_id, self.entry.attempt] += 1
        else:
            self.takes += 1
        self.entry = None

    def _next_entry(self) -> node_pb.OutboxEntry | None:
        """The take of a clip that has all its chunks, or a chunk when one is due."""
        if not self.held:
            return None
        clip_id, attempt = next(iter(self.held))
        done, chunks = self.held[clip_id, attempt], self.chunks_of[clip_id]
        entry = node_pb.OutboxEntry(sequence=self.exchanges, clip_id=clip_id, attempt=attempt)
        if done == chunks:
            entry.take.frames = CHUNK_FRAMES * chunks
            entry.take.video.CopyFrom(_artifact("take", clip_id, attempt, 0))
            entry.take.sidecar.CopyFrom(_artifact("sidecar", clip_id, attempt, 0))
            return entry
        if not self.chunk_due:
            return None
        self.chunk_due = False
        kinds = ("segment", "negative", "init") if done == 0 else ("segment", "negative")
        entry.chunk.chunk, entry.chunk.frames, entry.chunk.lanes = done, CHUNK_FRAMES, 1
        entry.chunk.render_seconds, entry.chunk.encode_seconds = 20.0, 0.3
        entry.chunk.energy_joules = 2_900.0
        entry.chunk.artifacts.extend(_artifact(kind, clip_id, attempt, done) for kind in kinds)
        return entry


def _artifact(kind: str, clip_id: str, attempt: int, chunk: int) -> types_pb.Artifact:
    digest = hashlib.sha256(f"{kind} {clip_id} {attempt} {chunk}".encode()).hexdigest()
    return types_pb.Artifact(
        kind=KINDS[kind],
        chunk=chunk,
        key=f"default/bench/{clip_id}/v001/a{attempt}/{kind}-{chunk:05}-{digest[:16]}.bin",
        sha256=digest,
        size_bytes=2_211_840,
    )


class CardProcess:
    """Runs in Ray; speaks for many cards through one `Coalescer`, as a gateway does."""

    def __init__(self, numbers: range, chunks_of: Mapping[str, int], seed: int) -> None:
        self._cards = [SimulatedCard(number, chunks_of) for number in numbers]
        self._random = random.Random(seed)
        self._groups: list[int] = []
        self._coalescer = Coalescer(RayCoordinatorLink(), Limits(), self._groups.append)
        self._seen: list[tuple[float, float, bool]] = []
        self._errors = 0

    async def run(self, interval: float, until: float) -> None:
        """Exchange until `until` (monotonic seconds), each card every `interval` seconds on
        average, or at once when it is 0."""
        self._groups.clear()
        self._seen.clear()
        self._errors = 0
        async with asyncio.TaskGroup() as together:
            for card in self._cards:
                together.create_task(self._serve(card, interval, until))

    async def seen(self, since: float) -> tuple[list[tuple[float, float, bool]], list[int], int]:
        """Of the last `run`: (due, answered, carried a chunk) of exchanges answered after
        `since`, the sizes of all groups, and how many exchanges failed."""
        return [one for one in self._seen if one[1] >= since], self._groups, self._errors

    async def reported(self) -> tuple[int, int, int]:
        """Chunks and takes acknowledged as recorded, and reports refused, since the start."""
        cards = self._cards
        return (
            sum(card.chunks for card in cards),
            sum(card.takes for card in cards),
            sum(card.refused for card in cards),
        )

    async def _serve(self, card: SimulatedCard, interval: float, until: float) -> None:
        """One card: what is late counts from when it was due, not from when it was sent."""
        due = time.monotonic() + interval * self._random.random()
        while due < until:
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            request = card.request()
            with_chunk = card.entry is not None and card.entry.WhichOneof("what") == "chunk"
            try:
                card.answered(await self._coalescer.call(request))
            except (CoordinatorUnavailable, GatewayBusy):
                self._errors += 1
                await asyncio.sleep(1.0)
            else:
                self._seen.append((due, time.monotonic(), with_chunk))
            if interval:
                due += interval * self._random.uniform(0.5, 1.5)
            else:
                due = time.monotonic()
            if time.monotonic() > until:
                return
