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


class Resuming:
    """Where a stream of events is, and what to do when it breaks."""

    def __init__(
        self,
        endpoint: str,
        batch_id: str,
        *,
        after: int,
        until_ended: bool,
        patience_seconds: float,
        on_interrupted: Callable[[str], None],
    ) -> None:
        self._endpoint = endpoint
        self._request = pb.WatchRequest(
            batch_id=batch_id, after_sequence=after, until_ended=until_ended
        )
        self._patience_seconds = patience_seconds
        self._on_interrupted = on_interrupted
        self._away_since: float | None = None
        self._pause = 0.2

    @property
    def request(self) -> pb.WatchRequest:
        """Asks for what was not seen yet."""
        return self._request

    def is_new(self, event: pb.WatchResponse) -> bool:
        """Note an event; False for one that was seen before."""
        self._away_since, self._pause = None, 0.2
        if event.sequence <= self._request.after_sequence:
            return False
        self._request.after_sequence = event.sequence
        return True

    def pause_after(self, error: grpc.RpcError) -> float:
        """Seconds to wait before the stream is opened again.

        Raises what the error means when that would not help, and `FarmUnreachable` when the farm
        has been away for longer than the patience.
        """
        code, details = status_of(error)
        if code not in _RESUMED:
            raise from_rpc(error, self._endpoint) from error
        now = time.monotonic()
        if code is not grpc.StatusCode.DEADLINE_EXCEEDED:
            self._away_since = self._away_since or now
            self._on_interrupted(details)
        if self._away_since is not None and now - self._away_since > self._patience_seconds:
            raise FarmUnreachable(
                f"the farm at {self._endpoint} has been away for "
                f"{self._patience_seconds:.0f} s ({details}): the batch goes on where it is "
                f"running, `farm watch {self._request.batch_id}` looks again"
            ) from error
        pause, self._pause = self._pause, min(self._pause * 2, _PAUSE_SECONDS_MAX)
        return pause


def watch(
    connection: Connection, stub: rpc.BatchServiceStub, resuming: Resuming
) -> Iterator[pb.WatchResponse]:
    """Events from where `resuming` is; a broken stream is resumed after the last one seen."""
    while True:
        stream = stub.Watch(resuming.request, timeout=WATCH_SECONDS, metadata=connection.metadata)
        try:
            for event in stream:
                if resuming.is_new(event):
                    yield event
            return
        except grpc.RpcError as error:
            pause = resuming.pause_after(error)
        finally:
            stream.cancel()  # type: ignore[no-untyped-call]
        time.sleep(pause)
