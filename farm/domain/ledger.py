"""What the store writes down: the changes of one commit, and the rows they become."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Final

from farm.domain.batch import Batch
from farm.domain.clip import Clip, EventKind
from farm.domain.fleet import Circuit, FleetEvent, Node, Standing
from farm.domain.notices import NoticeOutcome
from farm.domain.project import Limit, Look, Project
from farm.domain.quote import Spent
from farm.domain.review import Review
from farm.domain.rollout import Change, Rollout
from farm.domain.saved_look import SavedLook
from farm.domain.spec import ClipSpec, NewClip, Origin, PromptMark
from farm.domain.usage import More


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredObject:
    """An object in the object store, verified."""

    kind: str
    """segment, init, negative, embeddings, take or sidecar."""
    key: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkRow:
    """A chunk's segment and negative: together with the ones before it, a checkpoint."""

    clip_id: str
    chunk: int
    attempt: int
    card_id: str
    frames: int
    render_seconds: float
    encode_seconds: float
    objects: tuple[StoredObject, ...]
    energy_joules: float | None = None
    """GPU board only; None where the card could not measure it."""
    lanes: int = 1
    """Clips that were rendered in lockstep with it, itself included."""
    steered: tuple[PromptMark, ...] = ()
    """Changes of prompt that came while the clip rendered, up to and with this chunk."""
    profile: str = ""
    """How the card ran the model for it; "" where that is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeRow:
    """A clip's finished file."""

    clip_id: str
    attempt: int
    card_id: str
    frames: int
    model_digest: str
    stack_id: str
    video: StoredObject
    sidecar: StoredObject


@dataclass(frozen=True, slots=True, kw_only=True)
class Steer:
    """A change of prompt that was asked for while a clip renders."""

    number: int
    """Grows with each of the farm."""
    clip_id: str
    mark: PromptMark
    """Chunk 0 stands for the next one that is begun."""
    at: float
    """Unix seconds."""
    settled: int | None = None
    """The recorded chunk that was begun with it, or with a later one that was due as well; -1 where
    another took its place before, or none was left. None: it is still to come."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """What the ledger let go in one step of retention."""

    clips: int
    events: int
    objects: tuple[StoredObject, ...]
    """No row names them any more."""


@dataclass(frozen=True, slots=True)
class ClipChange:
    """A clip stepped by an event. The store compares with `before` and swaps in `after`."""

    before: Clip
    after: Clip
    kind: EventKind
    detail: str = ""
    card_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AddedClip:
    """A new version of a clip, in its batch. It takes over the chunks that its origin says."""

    clip: Clip
    row: NewClip
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Reusable:
    """A take that another clip may have as its own, where it was asked for the same."""

    digest: str
    clip_id: str
    chunks: int
    model_digest: str
    stack_id: str


ENDS: Final = frozenset({"done", "failed", "over"})
"""Kinds of the event of a batch whose last clip has ended: with none failed, with some, or after it
was cancelled."""


@dataclass(frozen=True, slots=True)
class BatchChange:
    """A decision about a batch, or its end."""

    after: Batch
    kind: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Totals:
    """Counters of the farm's whole life."""

    frames_rendered: int = 0
    frames_delivered: int = 0
    clips_delivered: int = 0
    attempts_lost: int = 0
    attempts_failed: int = 0
    chunks_recorded: int = 0
    bytes_delivered: int = 0
    stale_reports: int = 0


@dataclass(frozen=True, slots=True)
class RequestRow:
    """A mutation that was answered: the same request_id gets the same answer again."""

    request_id: str
    digest: str
    """SHA-256 of the payload."""
    batch_id: str
    result: int = 0
    """Clips accepted, cancelled or requeued; of retakes, the place of the first in its batch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRow:
    """A card as it was last heard of."""

    card_id: str
    node_id: str
    hostname: str
    slot: int
    device: str
    vram_bytes: int
    renderer: str
    model_digest: str
    stack_id: str
    incarnation: str
    frames_rendered: int
    """Of this incarnation, as far as the farm's totals have counted them."""
    card_type: str = ""
    tags: tuple[str, ...] = ()
    profiles: tuple[str, ...] = ()
    models: tuple[str, ...] = ()
    lanes: int = 1
    power_cap_watts: float = 0.0
    pace: float = 0.0
    """See `farm.domain.fleet.CardFacts`, as of the fields above."""
    standing: Standing = Standing.OPEN
    standing_reason: str = ""
    examination: int = 0
    """The number of the examination that opens it once it is passed; 0: a person opens it."""
    frames_open: int = 0
    """Of `frames_rendered`: in chunks that are not recorded yet and may still be."""
    release: str = ""
    """Version of Heliostat that it runs; empty: it does not say."""
    releases: tuple[tuple[str, str], ...] = ()
    """What its node could run as well: versions, each with its interpreter."""


@dataclass(slots=True)
class Commit:
    """All that one transaction writes: everything in it, or nothing."""

    clips: list[ClipChange] = field(default_factory=list)
    added: list[AddedClip] = field(default_factory=list)
    batches: list[BatchChange] = field(default_factory=list)
    chunks: list[ChunkRow] = field(default_factory=list)
    takes: list[TakeRow] = field(default_factory=list)
    spent: dict[str, Spent] = field(default_factory=dict)
    """Batch id → what it has cost more."""
    usage: dict[tuple[str, str], More] = field(default_factory=dict)
    """(UTC day, project) → what was rendered, made and used more; follows `totals`."""
    totals: Totals | None = None
    """The counters after this commit; None leaves them as they are."""
    requests: list[RequestRow] = field(default_factory=list)
    cards: list[CardRow] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    projects: list[Project] = field(default_factory=list)
    limits: list[Limit] = field(default_factory=list)
    circuits: list[Circuit] = field(default_factory=list)
    forgotten: list[tuple[str, str]] = field(default_factory=list)
    """("limit", "circuit" or "look", its name): removed by a person."""
    looks: list[Look] = field(default_factory=list)
    steers: list[Steer] = field(default_factory=list)
    reviews: list[Review] = field(default_factory=list)
    fleet_events: list[FleetEvent] = field(default_factory=list)
    saved_looks: list[SavedLook] = field(default_factory=list)
    rollouts: list[Rollout] = field(default_factory=list)
    rollout_cards: list[Change] = field(default_factory=list)
    notices: list[NoticeOutcome] = field(default_factory=list)
    """What became of notices that were sent; new ones come with their batches' events."""

    def __bool__(self) -> bool:
        return any(_written(self))


_written = attrgetter(*(f.name for f in fields(Commit) if f.name != "totals"))


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetEventRow:
    """A decision about a node or a card, as it was written."""

    sequence: int
    at: float
    epoch: int
    event: FleetEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRow:
    """A line of the events table, in the order of commits."""

    sequence: int
    at: float
    epoch: int
    batch_id: str
    clip_id: str
    """Empty for an event of the batch."""
    clip_name: str
    kind: str
    from_state: str
    to_state: str
    attempt: int
    card_id: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipRow:
    """A clip with all that the store knows of it."""

    clip: Clip
    name: str
    version: int
    row: int
    spec: ClipSpec
    columns: Mapping[str, str]
    take: TakeRow | None
    finished_at: float | None
    file_name: str = ""
    """What its files are called, without their endings; may have folders, apart by `/`."""
    digest: str = ""
    origin: Origin | None = None
    """As of `NewClip`."""
    latest: bool = True
    """No later version of its name is there."""
