"""What the calls of the batch service share."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from farm.domain.errors import FarmError, RequestConflict
from farm.domain.ledger import RequestRow
from farm.domain.tokens import CountTokens
from farm.domain.values import Limits as RowLimits
from farm.gateway.coordinator_link import CoordinatorLink
from farm.gateway.fleet_view import FleetView
from farm.gateway.inputs import InputDesk
from farm.gateway.settings import Limits
from farm.gateway.threads import Threads
from farm.gateway.views import batch_views
from farm.plan.money.comparators import Comparator
from farm.plan.quote import Rates
from farm.ports import Ledger, ObjectStore
from heliostat.v1 import types_pb2 as types_pb

SETTLE_SECONDS_MAX = 5.0


@dataclass(slots=True, kw_only=True)
class Desk:
    """The ledger to read, the coordinator to ask, and the order among callers."""

    ledger: Ledger
    objects: ObjectStore
    link: CoordinatorLink
    fleet: FleetView
    inputs: InputDesk
    threads: Threads
    limits: Limits
    row_limits: RowLimits
    """What a row may ask for, with the farm's model."""
    count_tokens: CountTokens
    rates: Rates
    """By what work becomes time and money."""
    comparators: tuple[Comparator, ...]
    """What the fleet is compared with, beside its baseline."""
    deliveries: tuple[Path, ...]
    """Directories that takes may be delivered to."""
    logs: Path | None
    """Where the head's processes log; None: not here."""
    places: asyncio.Semaphore
    """Of submissions that are read at once."""
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when this gateway is being stopped: streams end."""
    _locks: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)
    _discards: set[asyncio.Task[None]] = field(default_factory=set)

    @asynccontextmanager
    async def alone(self, request_id: str) -> AsyncIterator[None]:
        """Of those with the same request_id only one at a time; short, for clients may stall."""
        lock = self._locks.setdefault(request_id, asyncio.Lock())
        async with lock:
            yield

    async def answered(self, request: RequestRow) -> RequestRow | None:
        """The first answer to this request. Raises `RequestConflict` for another payload."""
        first = await self.threads.run(self.ledger.request, request.request_id)
        if first is not None and first.digest != request.digest:
            raise RequestConflict(
                f"request {request.request_id} was made before with another content: "
                "use a new request_id"
            )
        return first

    async def batch(self, batch_id: str) -> types_pb.Batch:
        """A batch as it is now, by its id or name."""

        def read() -> types_pb.Batch:
            return batch_views(self.ledger, [self.ledger.find_batch(batch_id)])[0]

        return await self.threads.run(read)

    async def discard(self, batch_id: str, after: asyncio.Task[None] | None) -> None:
        """Have a staged batch forgotten, also when the caller is being cancelled."""
        task = asyncio.create_task(self._discard(batch_id, after))
        self._discards.add(task)
        task.add_done_callback(self._discards.discard)
        await asyncio.shield(task)

    async def _discard(self, batch_id: str, after: asyncio.Task[None] | None) -> None:
        if after is not None:
            await asyncio.gather(after, return_exceptions=True)
        try:
            await self.link.discard(batch_id)
        except FarmError:
            return  # a coordinator that starts anew forgets what is staged by itself

    async def settle(self) -> None:
        """Wait until what was to be discarded is; a coordinator that starts anew does it itself."""
        if self._discards:
            await asyncio.wait(self._discards, timeout=SETTLE_SECONDS_MAX)
