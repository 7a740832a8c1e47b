"""Errors as callers by JSON get them: a `google.rpc.Status` under the status of HTTP it means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NoReturn

import grpc
import grpc.aio
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from starlette.responses import JSONResponse

from farm.domain.errors import FarmError
from farm.gateway.grpc_errors import DETAILS_KEY, BadRequest, status_of

HTTP_STATUSES: Final = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNAUTHENTICATED: 401,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
}
"""As google/rpc/code.proto maps them; all others are 500."""

REFUSALS: Final = {
    "NO_SUCH_PATH": 404,
    "METHOD_NOT_ALLOWED": 405,
    "BODY_TOO_LARGE": 413,
    "UNSUPPORTED_MEDIA_TYPE": 415,
}
"""Reasons that go before the code."""

_BY_NUMBER: Final[dict[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}
_HEADERS: Final = {"cache-control": "no-store", "x-content-type-options": "nosniff"}
"""Of every answer of the API."""


class Refusal(BadRequest):
    """A request that HTTP itself has a word for; `reason` is one of `REFUSALS`."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class Failed(grpc.aio.AbortError):
    """A servicer ended the call with this status."""

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(status.message)
        self.status = status


class JsonContext:
    """What stands for gRPC's context in a call by JSON: all that servicers do by it is abort."""

    async def abort(
        self,
        code: grpc.StatusCode,
        details: str = "",
        trailing_metadata: Sequence[tuple[str, bytes]] = (),
    ) -> NoReturn:
        """End the call. Raises `Failed`."""
        packed = dict(trailing_metadata).get(DETAILS_KEY)
        if packed is None:
            raise Failed(status_pb2.Status(code=code.value[0], message=details))
        raise Failed(status_pb2.Status.FromString(packed))


def answer(content: object, status: int = 200) -> JSONResponse:
    """An answer of the API."""
    return JSONResponse(content, status, _HEADERS)


def failure(error: FarmError | Failed) -> JSONResponse:
    """The answer of a call that failed."""
    status = as_status(error)
    code = _BY_NUMBER.get(status.code, grpc.StatusCode.UNKNOWN)
    http = REFUSALS.get(_reason(status)) or HTTP_STATUSES.get(code, 500)
    response = answer(as_json(status), http)
    if response.status_code == 401:
        response.headers["www-authenticate"] = "Bearer"
    if response.status_code in (429, 503):
        response.headers["retry-after"] = "1"
    return response


def as_status(error: FarmError | Failed) -> status_pb2.Status:
    """The error as a message."""
    return error.status if isinstance(error, Failed) else status_of(error)


def as_json(status: status_pb2.Status) -> dict[str, object]:
    """A status as protobuf-JSON."""
    found: dict[str, object] = json_format.MessageToDict(status)
    return found


def _reason(status: status_pb2.Status) -> str:
    info = error_details_pb2.ErrorInfo()
    return str(info.reason) if any(detail.Unpack(info) for detail in status.details) else ""
