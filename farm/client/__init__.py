"""The Python SDK: a farm over gRPC, by `Farm` or for asyncio by `AsyncFarm`."""

from farm.client.aio.farm import AsyncFarm
from farm.client.errors import (
    AccessDenied,
    BadRequest,
    FarmBusy,
    FarmUnreachable,
    FetchFailed,
    Refused,
    SendFailed,
)
from farm.client.farm import Farm, Submitted
from farm.client.fetch import Fetched
from farm.client.inputs import InputOptions
from farm.client.submission import Planned

__all__ = [
    "AccessDenied",
    "AsyncFarm",
    "BadRequest",
    "Farm",
    "FarmBusy",
    "FarmUnreachable",
    "FetchFailed",
    "Fetched",
    "InputOptions",
    "Planned",
    "Refused",
    "SendFailed",
    "Submitted",
]
