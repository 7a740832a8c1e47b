"""What the coordinator and the gateways need from the world, as narrow protocols."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from farm.domain.batch import Batch, BatchProgress
from farm.domain.clip import Clip, ClipState
from farm.domain.fleet import Circuit, Node
from farm.domain.ledger import (
    CardRow,
    ChunkRow,
    ClipRow,
    Commit,
    EventRow,
    FleetEventRow,
    Released,
    RequestRow,
    Reusable,
    Steer,
    Totals,
)
from farm.domain.notices import Notice
from farm.domain.project import Limit, Look, Project
from farm.domain.query import ClipQuery
from farm.domain.quote import Quote
from farm.domain.review import Review, ReviewCounts
from farm.domain.saved_look import SavedLook
from farm.domain.spec import NewClip

EVERY_CLIP: Final = ClipQuery()


class Clock(Protocol):
    """Time, as an argument."""

    def now(self) -> float:
        """Unix seconds: for what is written down."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go backwards: for leases, backoffs and rates."""
        ...


class Store(Protocol):
    """The ledger's only writer's side: the coordinator alone calls it.

    Every write names the epoch that the coordinator claimed; after a later claim it raises
    `Fenced`. A call returns only after its transaction is durable.
    """

    def claim_epoch(self, at: float) -> int:
        """The next epoch; every earlier one is fenced from now on."""
        ...

    def batch(self, batch_id: str) -> Batch:
        """A published batch. Raises `NotFound`."""
        ...

    def open_batches(self) -> list[Batch]:
        """Published batches that are not cancelled, in order of creation."""
        ...

    def clips_in_memory(self, batch_id: str) -> Iterator[Clip]:
        """All clips of a batch that have not ended, in order."""
        ...

    def totals(self) -> Totals:
        """The farm's counters."""
        ...

    def cards(self) -> list[CardRow]:
        """Every card that was ever heard of."""
        ...

    def projects(self) -> list[Project]:
        """All projects, by name; `default` is among them."""
        ...

    def limits(self) -> list[Limit]:
        """All named limits, by name."""
        ...

    def saved_looks(self) -> list[SavedLook]:
        """All saved looks, by name."""
        ...

    def circuits(self) -> list[Circuit]:
        """All circuits, by name."""
        ...

    def nodes(self) -> list[Node]:
        """Nodes of which something was decided, by hostname."""
        ...

    def looks(self, batch_id: str) -> dict[str, Look]:
        """What people said of a batch's clips at their first look, by clip id."""
        ...

    def steers(self) -> list[Steer]:
        """Changes of prompt that are still to come, by number."""
        ...

    def last_steer(self) -> int:
        """The highest number of any change of prompt; 0 is none."""
        ...

    def counts(self, batch_id: str) -> dict[ClipState, int]:
        """Clips of a published batch by state; states without clips are left out."""
        ...

    def unmet(self, batch_id: str) -> dict[int, dict[int, ClipState]]:
        """By ordinal of a clip: the clips without a take that it waits for, and their states."""
        ...

    def commit(self, epoch: int, at: float, commit: Commit) -> None:
        """Write all of it and its events in one transaction.

        Raises `Fenced`, or `StaleWrite` when a clip is no longer as `before` says.
        """
        ...

    def release(
        self, epoch: int, at: float, *, chunks_before: float, events_before: float, limit: int
    ) -> Released:
        """Let go of the chunks of clips that ended before a time, and of events likewise."""
        ...

    def released(self, clip_ids: Sequence[str]) -> set[str]:
        """Those of the clips whose chunks were let go: they cannot go on."""
        ...

    def stage_batch(self, epoch: int, batch: Batch) -> None:
        """Begin a submission: a batch that nobody sees until it is published."""
        ...

    def stage_clips(self, epoch: int, batch_id: str, clips: Sequence[NewClip]) -> None:
        """Add clips to a staged batch, one transaction."""
        ...

    def stage_dependencies(
        self, epoch: int, batch_id: str, pairs: Sequence[tuple[int, int]]
    ) -> None:
        """Add to a staged batch which of its clips wait for which others, by their ordinals."""
        ...

    def publish_batch(
        self,
        epoch: int,
        at: float,
        batch_id: str,
        request: RequestRow,
        promise: Quote | None = None,
    ) -> None:
        """Make a staged batch visible, with an event for each of its clips, in one transaction.

        `promise` is written down with it. Raises `RequestConflict` when the request_id was used
        for another payload.
        """
        ...

    def discard_batch(self, epoch: int, batch_id: str) -> None:
        """Forget a staged batch."""
        ...

    def discard_staged(self, epoch: int) -> int:
        """Forget all staged batches (their submissions died with the last coordinator)."""
        ...

    def request(self, request_id: str) -> RequestRow | None:
        """What a request_id was answered with."""
        ...

    def clip_rows(self, clip_ids: Sequence[str]) -> dict[str, ClipRow]:
        """These clips, whole."""
        ...

    def chunks(self, clip_id: str) -> list[ChunkRow]:
        """A clip's recorded chunks, in order."""
        ...

    def versions(self, batch_id: str, names: Collection[str] | None = None) -> dict[str, int]:
        """Name → the highest version of it in a batch, of these names or of all."""
        ...

    def last_ordinal(self, batch_id: str) -> int:
        """The place of a batch's last clip; 0 where it has none."""
        ...

    def notices(self, at: float, limit: int) -> list[Notice]:
        """Notices that are due at a time and that somebody is still to be told of, in order."""
        ...

    def clip(self, clip_id: str) -> Clip | None:
        """One clip, ended or not."""
        ...

    def clips_in_states(
        self, batch_id: str, states: Collection[ClipState], names: Collection[str] = ()
    ) -> list[Clip]:
        """Clips of a batch in one of `states`, all of them or those with these names or ids."""
        ...


class Ledger(Protocol):
    """The reading side: gateways call it, beside the one writer."""

    def farm_id(self) -> str:
        """Whose ledger it is; empty where nobody has said."""
        ...

    def find_batch(self, id_or_name: str) -> Batch:
        """By id, or by a name that only one batch has. Raises `NotFound`, `AmbiguousName`."""
        ...

    def batches(
        self,
        *,
        limit: int,
        before: str = "",
        project: str = "",
        active: bool = False,
        ended_after: float = math.inf,
    ) -> list[Batch]:
        """Published batches, the newest first, after the page that ended with batch `before`.

        Only `active` ones: with open clips, or whose last clip ended after a time.
        """
        ...

    def progress(self, batch_ids: Sequence[str]) -> dict[str, BatchProgress]:
        """What has become of each batch's clips."""
        ...

    def clips(
        self,
        batch_id: str,
        *,
        limit: int,
        after: int = 0,
        states: Collection[ClipState] = (),
        query: ClipQuery = EVERY_CLIP,
    ) -> list[ClipRow]:
        """Clips in the order of the file, after ordinal `after`."""
        ...

    def reviews(self, clip_ids: Sequence[str]) -> dict[str, Review]:
        """The latest review of each of these clips that has one."""
        ...

    def review_counts(self, batch_ids: Sequence[str]) -> dict[str, ReviewCounts]:
        """Takes of each batch by what was said of them; only latest versions count."""
        ...

    def clip_rows(self, clip_ids: Sequence[str]) -> dict[str, ClipRow]:
        """These clips, whole."""
        ...

    def clip_ids(self, batch_id: str, names: Collection[str]) -> dict[str, str]:
        """Name (its latest version) or id of a clip → its id; those not there are left out."""
        ...

    def chunks(self, clip_id: str) -> list[ChunkRow]:
        """Recorded chunks, in order."""
        ...

    def versions(self, batch_id: str, names: Collection[str] | None = None) -> dict[str, int]:
        """Name → the highest version of it in a batch, of these names or of all."""
        ...

    def latest(self, batch_id: str, names: Collection[str]) -> dict[str, ClipRow]:
        """Name → its latest version, whole; those that are not there are left out."""
        ...

    def last_ordinal(self, batch_id: str) -> int:
        """The place of a batch's last clip; 0 where it has none."""
        ...

    def relatives_keys(self, clip_id: str) -> set[str]:
        """Objects that are named by clips which took something over from this one, or it from."""
        ...

    def reusable(self, project: str, digests: Sequence[str]) -> list[Reusable]:
        """Takes of a project that these digests stand for, the latest last."""
        ...

    def events(self, *, after: int, limit: int, batch_id: str = "") -> list[EventRow]:
        """Events after sequence number `after`, in order."""
        ...

    def last_sequence(self) -> int:
        """The sequence number of the latest event; 0 where there is none."""
        ...

    def delivering(self) -> list[Batch]:
        """Published batches that name a place to be delivered to."""
        ...

    def clip_events(self, clip_id: str, *, limit: int) -> list[EventRow]:
        """The latest events of a clip, the newest first."""
        ...

    def fleet_events(self, target: str, *, limit: int) -> list[FleetEventRow]:
        """The latest decisions about a node or card (of all: ""), the newest first."""
        ...

    def projects(self) -> list[Project]:
        """All projects, by name; `default` is among them."""
        ...

    def limits(self) -> list[Limit]:
        """All named limits, by name."""
        ...

    def saved_looks(self) -> list[SavedLook]:
        """All saved looks, by name."""
        ...

    def circuits(self) -> list[Circuit]:
        """All circuits, by name."""
        ...

    def nodes(self) -> list[Node]:
        """Nodes of which something was decided, by hostname."""
        ...

    def looks(self, batch_id: str) -> dict[str, Look]:
        """What people said of a batch's clips at their first look, by clip id."""
        ...

    def clip_looks(self, clip_ids: Sequence[str]) -> dict[str, Look]:
        """The same for some clips."""
        ...

    def clip_steers(self, clip_ids: Sequence[str]) -> dict[str, list[Steer]]:
        """Changes of prompt that are still to come for some clips, by number."""
        ...

    def request(self, request_id: str) -> RequestRow | None:
        """What a request_id was answered with."""
        ...

    def project_counts(self) -> dict[str, dict[ClipState, int]]:
        """By project: clips of its published batches by state, states without clips left out."""
        ...

    def clip_counts(self) -> dict[ClipState, int]:
        """Clips of all published batches by state."""
        ...

    def input_places(self) -> set[str]:
        """What all clips start from that may still be rendered, staged ones too: images, videos."""
        ...


@dataclass(frozen=True, slots=True)
class Grant:
    """A presigned PUT: whoever has it may write this one object, once or again, until it ends."""

    url: str
    headers: Mapping[str, str]
    """Signed in, to be sent exactly like this."""


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """An object in a listing."""

    key: str
    size_bytes: int
    modified_at: float
    """Unix seconds, on the object store's clock."""


@dataclass(frozen=True, slots=True)
class Upload:
    """An object that is being sent in parts, and is none before all of them are joined."""

    key: str
    upload_id: str
    begun_at: float
    """Unix seconds, on the object store's clock."""


@dataclass(frozen=True, slots=True)
class UploadedPart:
    """A part that has arrived."""

    size_bytes: int
    etag: str
    """What the store wants to see of it when the parts are joined."""


class ObjectStore(Protocol):
    """Where bytes live. Every call may raise `ObjectStoreUnavailable`; all may be retried."""

    def presign_put(self, key: str, size: int, sha256_hex: str, content_type: str) -> Grant:
        """A PUT of exactly these bytes. No request is made."""
        ...

    def presign_get(self, key: str) -> str:
        """A GET, ranges included. No request is made."""
        ...

    def verify(self, key: str, size: int, sha256_hex: str) -> None:
        """Return only when these bytes are there. Raises `ObjectMissing`, `ObjectMismatch`."""
        ...

    def get(self, key: str) -> bytes:
        """A small object, whole. Raises `ObjectMissing`."""
        ...

    def put(self, key: str, data: bytes, content_type: str) -> None:
        """Write a small object; returns once the store has it."""
        ...

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """All objects whose keys begin with `prefix`, in the order of their keys."""
        ...

    def find_size(self, key: str) -> int | None:
        """How many bytes an object has; None when there is none."""
        ...

    def verify_bytes(self, key: str, size: int, sha256_hex: str) -> None:
        """As `verify`, by reading every byte."""
        ...

    def begin_upload(self, key: str, content_type: str) -> Upload:
        """Begin to send an object in parts."""
        ...

    def uploads(self, prefix: str) -> Iterator[Upload]:
        """Uploads in parts that are neither joined nor given up, of keys with this beginning."""
        ...

    def uploaded_parts(self, upload: Upload) -> dict[int, UploadedPart]:
        """Parts that are there, by number from 1. Raises `ObjectMissing` when it is over."""
        ...

    def presign_part(self, upload: Upload, number: int, size: int, sha256_base64: str) -> Grant:
        """A PUT of exactly this part. No request is made."""
        ...

    def join_parts(self, upload: Upload, parts: Sequence[tuple[UploadedPart, str]]) -> None:
        """Make the object of all its parts, in order, each with its SHA-256 in base64."""
        ...

    def give_up(self, upload: Upload) -> None:
        """Forget an upload and its parts; one that is over is no error."""
        ...
