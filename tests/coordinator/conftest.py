"""A coordinator over a real ledger, with a clock that tests move."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import pytest
from google.protobuf.message import Message

from farm.coordinator import Coordinator
from farm.domain.batch import Batch
from farm.domain.clip import Clip, ClipState
from farm.domain.ledger import RequestRow
from farm.domain.spec import LoraUse
from farm.plan.policy import Policy
from farm.store import SqlLedger
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.fixtures.ledger import Database, database, new_clip  # noqa: F401 - fixture


@dataclass
class ManualClock:
    """Time as a test wants it."""

    time: float = 1000.0

    def now(self) -> float:
        return 1_700_000_000.0 + self.time

    def monotonic(self) -> float:
        return self.time


@dataclass
class CardVoice:
    """A card's side of the exchange, spoken by hand."""

    coordinator: Coordinator
    card_id: str
    incarnation: str = "first"
    capacity: int = 2
    held: dict[tuple[str, int], bool] = field(default_factory=dict)
    sequence: int = 0
    frames_rendered: int = 0
    seconds: float = 0.0
    """That it says a chunk takes it."""
    report: dict[str, object] = field(default_factory=dict)
    """What else it says of itself."""
    made: dict[tuple[str, int], int] = field(default_factory=dict)
    """Chunks of a clip that it says are rendered; it does not say it of those left out."""
    joules: float | None = None
    """That its board has used."""
    yields: list[tuple[str, int]] = field(default_factory=list)
    """What it was asked to give up at the last exchange."""

    def request(self, *outbox: node_pb.OutboxEntry) -> node_pb.ExchangeRequest:
        return node_pb.ExchangeRequest(
            card=node_pb.CardReport(
                card_id=self.card_id,
                node_id="node",
                incarnation=self.incarnation,
                renderer="testcard",
                **{"condition": "ready", "hostname": "host", "stack_id": "stack", **self.report},  # type: ignore[arg-type]
            ),
            held=[
                node_pb.HeldAttempt(
                    clip_id=clip_id,
                    attempt=attempt,
                    started=started,
                    chunks_made=self.made.get((clip_id, attempt)),
                )
                for (clip_id, attempt), started in self.held.items()
            ],
            outbox=outbox,
            capacity=self.capacity,
            telemetry=types_pb.CardTelemetry(
                frames_rendered=self.frames_rendered, energy_joules=self.joules
            ),
        )

    def say(self, *outbox: node_pb.OutboxEntry) -> node_pb.ExchangeResponse:
        """Exchange, and hold what is wanted."""
        response = self.coordinator.exchange([self.request(*outbox)])[0]
        wanted = [(lease.clip_id, lease.attempt) for lease in response.wanted]
        self.held = {key: self.held.get(key, False) for key in wanted}
        self.yields = [(w.clip_id, w.attempt) for w in response.wanted if w.yield_asked]
        return response

    def give_up(self) -> None:
        """Yield all that it was asked to, and exchange."""
        self.say(*(self.entry(key, yielded=node_pb.YieldReport()) for key in self.yields))

    def make(self, clip: tuple[str, int], chunks: int = 1) -> None:
        """Render chunks of a clip, and say so."""
        self.made[clip] = self.made.get(clip, 0) + chunks
        self.frames_rendered += 33 * chunks
        self.say()

    def render(self, clip: tuple[str, int], chunks: int = 2, first: int = 0) -> None:
        """Render a clip to its end."""
        for chunk in range(first, chunks):
            self.say(self.chunk(clip, chunk))
        self.say(self.take(clip, frames=33 * chunks))

    @property
    def clips(self) -> list[str]:
        """What it holds, without attempts."""
        return [clip_id for clip_id, _ in self.held]

    def start_all(self) -> None:
        self.held = dict.fromkeys(self.held, True)

    def entry(self, clip: tuple[str, int], **what: object) -> node_pb.OutboxEntry:
        self.sequence += 1
        return node_pb.OutboxEntry(
            sequence=self.sequence,
            clip_id=clip[0],
            attempt=clip[1],
            **what,  # type: ignore[arg-type]
        )

    def chunk(self, clip: tuple[str, int], chunk: int, frames: int = 33) -> node_pb.OutboxEntry:
        segment = artifact(types_pb.ARTIFACT_KIND_SEGMENT, f"{clip}{chunk}", chunk)
        report = node_pb.ChunkReport(
            chunk=chunk, frames=frames, artifacts=[segment], render_seconds=self.seconds
        )
        return self.entry(clip, chunk=report)

    def take(self, clip: tuple[str, int], frames: int = 66) -> node_pb.OutboxEntry:
        video = artifact(types_pb.ARTIFACT_KIND_TAKE, f"take{clip}")
        sidecar = artifact(types_pb.ARTIFACT_KIND_SIDECAR, f"sidecar{clip}")
        return self.entry(
            clip, take=node_pb.TakeReport(frames=frames, video=video, sidecar=sidecar)
        )

    def failure(
        self, clip: tuple[str, int], kind: types_pb.FailureClass.ValueType, message: str = "no"
    ) -> node_pb.OutboxEntry:
        return self.entry(clip, failure=node_pb.FailureReport(failure_class=kind, message=message))


def artifact(kind: types_pb.ArtifactKind.ValueType, name: str, chunk: int = 0) -> types_pb.Artifact:
    return types_pb.Artifact(
        kind=kind, chunk=chunk, sha256=name.encode().hex().ljust(64, "0")[:64], size_bytes=9,
        key=f"key/{name}",
    )  # fmt: skip


@dataclass
class Ground:
    """A coordinator that can be killed and started anew on the same ledger."""

    database: Database
    clock: ManualClock = field(default_factory=ManualClock)
    policy: Policy = field(default_factory=Policy)
    requests: int = 0

    def __post_init__(self) -> None:
        self.ledger: SqlLedger | None = None
        self.restart()

    def restart(self) -> Coordinator:
        self.coordinator = Coordinator(self.database.store(), self.clock, self.policy)
        self.ledger = self.ledger or self.database.ledger()
        return self.coordinator

    def card(self, card_id: str, **more: object) -> CardVoice:
        return CardVoice(self.coordinator, card_id, **more)  # type: ignore[arg-type]

    def request(self, batch_id: str = "", digest: str = "d") -> RequestRow:
        self.requests += 1
        return RequestRow(f"request-{self.requests}", digest, batch_id)

    def submit(
        self,
        clips: int,
        frames: int = 66,
        batch_id: str = "b1",
        after: Mapping[int, Sequence[int]] | None = None,
        after_batches: tuple[str, ...] = (),
        lora: str = "",
        quality: str = "standard",
        **more: object,
    ) -> None:
        """Submit a batch; `after` says which of its clips wait for which others."""
        after = after or {}
        fields = {"name": batch_id, "project": "p", "created_at": self.clock.now(), **more}
        fields["after"] = after_batches
        self.coordinator.begin(Batch(batch_id=batch_id, **fields))  # type: ignore[arg-type]
        loras = (LoraUse(lora),) if lora else ()
        rows = [
            new_clip(i, frames=frames, loras=loras, quality=quality) for i in range(1, clips + 1)
        ]
        self.coordinator.stage(batch_id, [replace(row, waits=row.ordinal in after) for row in rows])
        if after:
            pairs = [(ordinal, on) for ordinal, others in after.items() for on in others]
            self.coordinator.stage_dependencies(batch_id, pairs)
        self.coordinator.publish(batch_id, self.request(batch_id))

    def clip(self, clip_id: str) -> Clip:
        clip = self.coordinator.store.clip(clip_id)
        assert clip is not None
        return clip

    def decide(self, message: Message) -> int:
        """Have something decided, as a gateway asks for it."""
        name, data = type(message).__name__, message.SerializeToString()
        return self.coordinator.decide(name, data, self.request()).result

    def tick(self, seconds: float = 1.0) -> None:
        """Let time pass, and the coordinator do what is due."""
        self.clock.time += seconds
        self.coordinator.tick()

    def details(self, clip_id: str, kind: str) -> list[str]:
        """What the events of a kind say of a clip."""
        assert self.ledger is not None
        events = self.ledger.events(after=0, limit=10_000)
        return [e.detail for e in events if e.clip_id == clip_id and e.kind == kind]

    def states(self) -> dict[ClipState, int]:
        assert self.ledger is not None
        return {state: n for state, n in self.ledger.clip_counts().items() if n}

    def kinds(self, clip_id: str) -> list[str]:
        """A clip's history."""
        assert self.ledger is not None
        events = self.ledger.events(after=0, limit=10_000)
        return [event.kind for event in events if event.clip_id == clip_id]


@pytest.fixture
def ground(database: Database) -> Ground:  # noqa: F811
    return Ground(database)


@pytest.fixture
def make_ground(database: Database) -> Callable[..., Ground]:  # noqa: F811
    return lambda **more: Ground(database, **more)
