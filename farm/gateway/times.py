"""Times as messages."""

from __future__ import annotations

from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp


def timestamp(at: float) -> Timestamp:
    """Unix seconds as a message."""
    stamp = Timestamp()
    stamp.FromDatetime(datetime.fromtimestamp(at, tz=UTC))
    return stamp
