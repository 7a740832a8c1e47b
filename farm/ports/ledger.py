"""What gateways need of the ledger: to read it, beside the one writer."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from typing import Final, Protocol

from farm.domain.batch import Batch, BatchProgress
from farm.domain.clip import ClipState
from farm.domain.fleet import Circuit, Node
from farm.domain.ledger import (
    ChunkRow,
    ClipRow,
    EventRow,
    FleetEventRow,
    RequestRow,
    Reusable,
    Steer,
)
from farm.domain.project import Limit, Look, Project
from farm.domain.query import ClipQuery
from farm.domain.review import Review, ReviewCounts
from farm.domain.rollout import Change, Rollout
from farm.domain.saved_look import SavedLook
from farm.domain.usage import UsageRow
from farm.domain.work import ClipWork

EVERY_CLIP: Final = ClipQuery()


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

    def usage(
        self,
        *,
        first: str = "",
        last: str = "",
        project: str | None = None,
        by: Collection[str] = (),
    ) -> list[UsageRow]:
        """Sums from a UTC day to another, by a subset of `day`, `month` and `project`."""
        ...

    def work(self, batch_id: str, *, limit: int, after: int = 0) -> list[ClipWork]:
        """What was done for a batch's clips, in the order of the file, after ordinal `after`."""
        ...

    def usage_since(self) -> str:
        """The first UTC day of which usage is known; empty where none is."""
        ...

    def circuits(self) -> list[Circuit]:
        """All circuits, by name."""
        ...

    def nodes(self) -> list[Node]:
        """Nodes of which something was decided, by hostname."""
        ...

    def rollouts(self) -> list[Rollout]:
        """All rollouts, by number."""
        ...

    def rollout_cards(self, number: int | None = None) -> list[Change]:
        """The cards of a rollout, or of all of them, by its number and their ids."""
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
