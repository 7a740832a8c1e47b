"""What the coordinator needs: time, and the ledger to write."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from farm.domain.batch import Batch
from farm.domain.clip import Clip, ClipState
from farm.domain.fleet import Circuit, Node
from farm.domain.ledger import (
    CardRow,
    ChunkRow,
    ClipRow,
    Commit,
    EventRow,
    Released,
    RequestRow,
    Steer,
    Totals,
)
from farm.domain.notices import Notice
from farm.domain.project import Limit, Look, Project
from farm.domain.quote import Quote
from farm.domain.rollout import Change, Rollout
from farm.domain.saved_look import SavedLook
from farm.domain.spec import NewClip
from farm.domain.usage import ChunkCosts, UsageRow


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

    def free_bytes(self) -> int | None:
        """Room where the ledger's file lies; None for a database of another machine's."""
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

    def chunk_costs(self, clip_ids: Sequence[str]) -> Sequence[ChunkCosts]:
        """What chunks took that were recorded for these clips since they were given up last."""
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

    def clip_events(self, clip_id: str, *, limit: int) -> list[EventRow]:
        """The latest events of a clip, the newest first."""
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
