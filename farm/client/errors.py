"""What a client of the farm can be told instead of an answer, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc
import grpc.aio
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from farm.delivery.errors import FetchFailed
from farm.domain.errors import AmbiguousName, FarmError, NotFound, RequestConflict
from farm.domain.spec import Problem

__all__ = [
    "AccessDenied", "BadRequest", "FarmBusy", "FarmUnreachable", "FetchFailed", "Refused",
    "from_rpc", "status_of",
]  # fmt: skip

_DETAILS_KEY: Final = "grpc-status-details-bin"


class FarmUnreachable(FarmError):
    """Nobody answers at the farm's endpoint, or not in time."""

    reason = "UNREACHABLE"


class AccessDenied(FarmError):
    """The farm does not know this client's token."""

    reason = "UNAUTHENTICATED"


class BadRequest(FarmError):
    """The farm says that the request cannot be right; the text says why."""

    reason = "BAD_REQUEST"


class FarmBusy(FarmError):
    """The farm takes no more calls now."""

    reason = "BUSY"


class Refused(FarmError):
    """A submission with problems: nothing of it was accepted."""

    reason = "REFUSED"

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(f"{len(problems)} problem{'s' if len(problems) != 1 else ''}")
        self.problems = list(problems)
        """All of them, in the order of the file."""


class SendFailed(FarmError):
    """A file that clips start from could not be sent whole."""

    reason = "SEND_FAILED"


_BY_REASON: Final[dict[str, type[FarmError]]] = {
    kind.reason: kind for kind in (AmbiguousName, NotFound, RequestConflict)
}
_BY_CODE: Final[dict[grpc.StatusCode, type[FarmError]]] = {
    grpc.StatusCode.UNAVAILABLE: FarmUnreachable,
    grpc.StatusCode.DEADLINE_EXCEEDED: FarmUnreachable,
    grpc.StatusCode.UNAUTHENTICATED: AccessDenied,
    grpc.StatusCode.PERMISSION_DENIED: AccessDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.INVALID_ARGUMENT: BadRequest,
    grpc.StatusCode.FAILED_PRECONDITION: BadRequest,
    grpc.StatusCode.RESOURCE_EXHAUSTED: FarmBusy,
}


def from_rpc(error: grpc.RpcError, endpoint: str) -> FarmError:
    """The error that a failed call means, by the reason that it carries, else by its status."""
    code, details = status_of(error)
    reason = _reason(error)
    kind = _BY_REASON.get(reason) or _BY_CODE.get(code, FarmError)
    if kind is FarmUnreachable and not reason:
        slow = code is grpc.StatusCode.DEADLINE_EXCEEDED
        what = "does not answer in time" if slow else "is not reachable"
        return FarmUnreachable(
            f"the farm at {endpoint} {what} ({details}): is it running? "
            "`farm up` starts one here, --endpoint or HELIOSTAT_ENDPOINT names another"
        )
    if kind is AccessDenied:
        return AccessDenied(
            f"the farm at {endpoint} does not accept the token: set HELIOSTAT_API_TOKEN, "
            "or --data-dir to a local farm's data directory"
        )
    return kind(details or f"the farm failed ({code.name})")


def status_of(error: grpc.RpcError) -> tuple[grpc.StatusCode, str]:
    """Status and text of a failed call."""
    if isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return error.code(), error.details() or ""
    return grpc.StatusCode.UNKNOWN, str(error)


def _reason(error: grpc.RpcError) -> str:
    """`ErrorInfo.reason`, or nothing."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return ""
    pairs: Any = error.trailing_metadata() or ()
    for key, value in pairs:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            info = error_details_pb2.ErrorInfo()
            for detail in status_pb2.Status.FromString(value).details:
                if detail.Unpack(info):
                    return str(info.reason)
    return ""
