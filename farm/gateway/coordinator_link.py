"""What a gateway asks of the coordinator, wherever that one runs.

In production it is a Ray actor, in tests the plain class in the same process. Every call may raise
`CoordinatorUnavailable`: nothing is known then of whether it was carried out. All calls may be
repeated: exchanges are level-triggered, the rest is told apart by its request_id.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from farm.domain.batch import Batch
from farm.domain.clip import ClipState
from farm.domain.errors import FarmError
from farm.domain.ledger import Released, RequestRow
from farm.domain.notices import Notice, NoticeOutcome
from farm.domain.quote import Quote
from farm.domain.spec import NewClip
from farm.plan.picture import Picture


class CoordinatorUnavailable(FarmError):
    """The coordinator did not answer, it may be restarting: try again."""

    reason = "COORDINATOR_UNAVAILABLE"


class GatewayBusy(FarmError):
    """A limit of this gateway is reached; the text says which one. Try again a little later."""

    reason = "GATEWAY_BUSY"


class CoordinatorLink(Protocol):
    """The coordinator's calls, as a gateway sees them."""

    async def exchange(self, requests: Sequence[bytes]) -> list[bytes]:
        """Serialized `ExchangeRequest`s to `ExchangeResponse`s, in order; one commit for all.

        The responses come without orders and URLs.
        """
        ...

    async def begin(self, batch: Batch) -> None:
        """Begin a submission that nobody sees before it is published."""
        ...

    async def stage(self, batch_id: str, clips: Sequence[NewClip]) -> None:
        """Add checked clips to it. Raises `NotFound` when the coordinator was restarted since."""
        ...

    async def stage_dependencies(self, batch_id: str, pairs: Sequence[tuple[int, int]]) -> None:
        """Add which of its clips wait for which others, by ordinals. Raises `NotFound` as above."""
        ...

    async def discard(self, batch_id: str) -> None:
        """Forget a submission; one that is not there is no error."""
        ...

    async def publish(
        self, batch_id: str, request: RequestRow, promise: Quote | None = None
    ) -> RequestRow:
        """Accept a submission, with what was quoted of it.

        Returns the first answer when request_id was used before; the staged copy is discarded
        then. Raises `RequestConflict` when the digests differ.
        """
        ...

    async def cancel(
        self, batch_id: str, names: Sequence[str], reason: str, request: RequestRow
    ) -> RequestRow:
        """Call off a batch (no names) or some of its clips; `result` counts them."""
        ...

    async def retry(
        self,
        batch_id: str,
        names: Sequence[str],
        states: Sequence[ClipState],
        request: RequestRow,
    ) -> RequestRow:
        """Put clips in `states` back into the queue; `result` counts them."""
        ...

    async def release(self, chunks_before: float, events_before: float, limit: int) -> Released:
        """Let go of the chunks of some clips that ended before a time, and of events likewise.

        Times are Unix seconds; 0 lets go of none.
        """
        ...

    async def decide(self, name: str, data: bytes, request: RequestRow) -> RequestRow:
        """Carry out a serialized message of this name, such as `PauseRequest`.

        `result` counts what changed. Raises `BadDecision`, `NotFound`, `RequestConflict`.
        """
        ...

    async def notices(self, outcomes: Sequence[NoticeOutcome]) -> list[Notice]:
        """Say what became of some notices; returns those that this gateway is to send next."""
        ...

    async def why(self, subject: str) -> bytes:
        """A serialized `WhyResponse` of a clip, batch or card by its id, or a node by hostname.

        Without its history. Raises `NotFound`.
        """
        ...

    async def ask_logs(self, question: bytes, cards: Sequence[str]) -> int:
        """Ask cards for lines of their logs by a serialized `LogQuestion`; returns its number.

        Raises `TooManyQuestions`.
        """
        ...

    async def log_answers(self, number: int) -> dict[str, bytes]:
        """A serialized `LogPage` of each card that has answered."""
        ...

    async def picture(self) -> Picture:
        """What quotes are made from."""
        ...

    async def fleet(self) -> tuple[bytes, list[bytes]]:
        """A serialized `GetFleetResponse`, and the `Card`s."""
        ...
