"""Streams of events by HTTP: a line of JSON each, or server-sent events where those are asked for.

Every event carries its sequence number: whoever loses the stream goes on after the last one seen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from farm.gateway.grpc_errors import BadRequest
from farm.gateway.json_bodies import NDJSON, message_json
from farm.gateway.json_errors import Failed, JsonContext, as_json
from heliostat.v1 import batch_service_pb2 as batch_pb

EVENT_STREAM: Final = "text/event-stream"
LAST_EVENT_HEADER: Final = "last-event-id"
_FIRST_SECONDS: Final = 1.0
"""Wait for the first event before the answer begins: until then a failure has its own status."""
_SILENCE_SECONDS: Final = 15.0
"""After these an empty line is sent: proxies close what is silent."""
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}
_Events = AsyncIterator[batch_pb.WatchResponse]


async def event_stream(
    request: Request,
    asked: batch_pb.WatchRequest,
    handler: Callable[[batch_pb.WatchRequest, Any], _Events],
) -> Response:
    """The answer to `Watch`. Raises `Failed` when it fails before it begins."""
    as_events = EVENT_STREAM in request.headers.get("accept", "")
    seen = request.headers.get(LAST_EVENT_HEADER, "")
    if seen:
        if not (seen.isascii() and seen.isdecimal() and len(seen) <= 18):
            raise BadRequest(f"{seen[:30]!r} is no {LAST_EVENT_HEADER}: give an event's sequence")
        asked.after_sequence = int(seen)
    events = handler(asked, JsonContext())
    first = asyncio.ensure_future(_next(events))
    try:
        await asyncio.wait({first}, timeout=_FIRST_SECONDS)
    except asyncio.CancelledError:
        first.cancel()
        raise
    if first.done() and (error := first.exception()) is not None:
        raise error
    write, kind = (_as_event, EVENT_STREAM) if as_events else (_as_line, NDJSON)
    return StreamingResponse(_written(events, first, write), media_type=kind, headers=_HEADERS)


async def _written(
    events: _Events,
    pending: asyncio.Future[batch_pb.WatchResponse | None],
    write: Callable[[batch_pb.WatchResponse | Failed | None], bytes],
) -> AsyncIterator[bytes]:
    try:
        while True:
            done, _ = await asyncio.wait({pending}, timeout=_SILENCE_SECONDS)
            if not done:
                yield write(None)
                continue
            event = pending.result()
            if event is None:
                return
            yield write(event)
            pending = asyncio.ensure_future(_next(events))
    except Failed as failed:
        yield write(failed)
    finally:
        # In a task of its own: a client that left has cancelled this one.
        await asyncio.shield(asyncio.ensure_future(_close(events, pending)))


async def _next(events: _Events) -> batch_pb.WatchResponse | None:
    return await anext(events, None)


async def _close(events: Any, pending: asyncio.Future[Any]) -> None:
    pending.cancel()
    await asyncio.gather(pending, return_exceptions=True)
    await events.aclose()


def _as_line(event: batch_pb.WatchResponse | Failed | None) -> bytes:
    """An event, `{"error": …}` as the last line of a stream that failed, or an empty line."""
    if event is None:
        return b"\n"
    if isinstance(event, Failed):
        return _dumped({"error": as_json(event.status)}) + b"\n"
    return _dumped(message_json(event)) + b"\n"


def _as_event(event: batch_pb.WatchResponse | Failed | None) -> bytes:
    """The same as server-sent events."""
    if event is None:
        return b":\n\n"
    if isinstance(event, Failed):
        return b"event: error\ndata: " + _dumped(as_json(event.status)) + b"\n\n"
    return b"id: %d\ndata: " % event.sequence + _dumped(message_json(event)) + b"\n\n"


def _dumped(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
