"""What the parts of an `AsyncFarm` share: its connection and stubs."""

from __future__ import annotations

from typing import Protocol

from farm.client.aio.connection import AsyncConnection
from heliostat.v1 import batch_service_pb2_grpc as batch_rpc
from heliostat.v1 import fleet_service_pb2_grpc as fleet_rpc


class AsyncCalls(Protocol):
    """A connected farm, as the mixins of `AsyncFarm` see it."""

    _connection: AsyncConnection
    _batches: batch_rpc.BatchServiceAsyncStub
    _fleet: fleet_rpc.FleetServiceAsyncStub
