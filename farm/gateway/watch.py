"""Events of a batch as a stream: read from the ledger in order, so without a gap or a repeat.

The position is the ledger's own sequence number: whoever loses the stream goes on from the last
one seen, at this gateway or at another.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from farm.domain.ledger import EventRow
from farm.gateway.desk import Desk
from farm.gateway.grpc_errors import Stopping
from farm.gateway.views import batch_views, event_view
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import types_pb2 as types_pb


async def watch(
    desk: Desk, request: batch_pb.WatchRequest
) -> AsyncIterator[batch_pb.WatchResponse]:
    """Events after `after_sequence`; the last one of each group comes with the batch.

    With `until_ended` the stream ends after the event that ended the last clip. Raises
    `NotFound`, `AmbiguousName`, and `Stopping` when the gateway is stopped.
    """
    found = await desk.threads.run(desk.ledger.find_batch, request.batch_id)
    after, ended, first = int(request.after_sequence), False, True
    while True:
        events, batch = await desk.threads.run(_read, desk, found.batch_id, after, first)
        for event in events:
            view = event_view(event)
            after = event.sequence
            if batch is not None and event is events[-1]:
                view.batch.CopyFrom(batch)
            yield view
        # The batch is newer than the events read with it: only a later look that finds none
        # proves that the last one was seen.
        if request.until_ended and ended and not events:
            return
        if batch is not None:
            ended, first = _has_ended(batch), False
        if len(events) < desk.limits.watch_events and not (request.until_ended and ended):
            await _pause(desk, found.batch_id)


def _read(
    desk: Desk, batch_id: str, after: int, first: bool
) -> tuple[list[EventRow], types_pb.Batch | None]:
    """The next events, and the batch where it can have changed."""
    events = desk.ledger.events(after=after, limit=desk.limits.watch_events, batch_id=batch_id)
    if not events and not first:
        return events, None
    return events, batch_views(desk.ledger, [desk.ledger.find_batch(batch_id)])[0]


def _has_ended(batch: types_pb.Batch) -> bool:
    clips = batch.clips
    return not (clips.waiting or clips.queued or clips.leased or clips.held)


async def _pause(desk: Desk, batch_id: str) -> None:
    try:
        async with asyncio.timeout(desk.limits.watch_seconds):
            await desk.stopping.wait()
    except TimeoutError:
        return
    raise Stopping(f"this gateway stops: watch {batch_id} again from the last sequence seen")
