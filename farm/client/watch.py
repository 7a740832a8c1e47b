"""Every change of a batch, without a gap or a repeat, whatever happens to the gateway."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Final

import grpc

from farm.client.connection import WATCH_SECONDS, Connection
from farm.client.errors import FarmUnreachable, from_rpc, status_of
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import batch_service_pb2_grpc as rpc
from heliostat.v1 import types_pb2 as types

_RESUMED: Final = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
    }
)
_PAUSE_SECONDS_MAX: Final = 5.0


def has_ended(batch: types.Batch) -> bool:
    """No clip of it will change any more by itself."""
    clips = batch.clips
    return not (clips.waiting or clips.queued or clips.leased or clips.held)


def watch(
    connection: Connection,
    stub: rpc.BatchServiceStub,
    batch_id: str,
    *,
    after: int = 0,
    until_ended: bool = True,
    patience_seconds: float = 300.0,
    on_interrupted: Callable[[str], None] = lambda _why: None,
) -> Iterator[pb.WatchResponse]:
    """Events after sequence number `after`; a broken stream is resumed after the last one seen.

    A farm that stays away longer than `patience_seconds` raises `FarmUnreachable`;
    `on_interrupted` hears of every break.
    """
    away_since: float | None = None
    pause = 0.2
    while True:
        request = pb.WatchRequest(batch_id=batch_id, after_sequence=after, until_ended=until_ended)
        stream = stub.Watch(request, timeout=WATCH_SECONDS, metadata=connection.metadata)
        try:
            for event in stream:
                away_since, pause = None, 0.2
                if event.sequence > after:
                    after = event.sequence
                    yield event
            return
        except grpc.RpcError as error:
            code, details = status_of(error)
            if code not in _RESUMED:
                raise from_rpc(error, connection.endpoint) from error
            now = time.monotonic()
            if code is not grpc.StatusCode.DEADLINE_EXCEEDED:
                away_since = away_since or now
                on_interrupted(details)
            if away_since is not None and now - away_since > patience_seconds:
                raise FarmUnreachable(
                    f"the farm at {connection.endpoint} has been away for "
                    f"{patience_seconds:.0f} s ({details}): the batch goes on where it is running, "
                    f"`farm watch {batch_id}` looks again"
                ) from error
        finally:
            stream.cancel()  # type: ignore[no-untyped-call]
        time.sleep(pause)
        pause = min(pause * 2, _PAUSE_SECONDS_MAX)
