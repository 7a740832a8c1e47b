"""What the parts of a `Farm` share: its connection and stubs."""

from __future__ import annotations

import uuid
from typing import Protocol

from farm.client.connection import Connection
from heliostat.v1 import batch_service_pb2_grpc as batch_rpc
from heliostat.v1 import fleet_service_pb2_grpc as fleet_rpc


class Calls(Protocol):
    """A connected farm, as the mixins of `Farm` see it."""

    _connection: Connection
    _batches: batch_rpc.BatchServiceStub
    _fleet: fleet_rpc.FleetServiceStub


def new_request_id() -> str:
    """Different for each call that is meant."""
    return uuid.uuid4().hex
