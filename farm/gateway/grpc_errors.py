"""Errors as gRPC clients get them: a status, a text for people, an `ErrorInfo` for programs."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import wraps
from typing import Any, Final, NoReturn, TypeAlias, TypeVar, cast

import grpc
import grpc.aio
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from farm.coordinator.questions import TooManyQuestions
from farm.domain.errors import (
    AmbiguousName,
    BadDecision,
    ChunksReleased,
    FarmError,
    Fenced,
    InvalidTransition,
    LedgerUnavailable,
    NotFound,
    ObjectStoreUnavailable,
    RequestConflict,
    StaleWrite,
)
from farm.gateway.coordinator_link import CoordinatorUnavailable, GatewayBusy

_log = logging.getLogger(__name__)

DOMAIN: Final = "heliostat"
"""`ErrorInfo.domain` of every error."""

DETAILS_KEY: Final = "grpc-status-details-bin"
"""Of the trailing metadata that carry an error's `google.rpc.Status`."""

Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"
S = TypeVar("S")
Q = TypeVar("Q")
A = TypeVar("A")


class BadRequest(FarmError):
    """A request that cannot be right; the text says what to change."""

    reason = "BAD_REQUEST"


class Stopping(FarmError):
    """This gateway is being stopped: call again, another one or its successor answers."""

    reason = "GATEWAY_STOPPING"


class Unauthenticated(FarmError):
    """The call shows no token, or a wrong one."""

    reason = "UNAUTHENTICATED"


class TooSlow(FarmError):
    """A submission in which nothing came for too long."""

    reason = "SUBMISSION_STALLED"


class SubmissionInterrupted(FarmError):
    """The coordinator was started anew in the middle of a submission: nothing was accepted."""

    reason = "SUBMISSION_INTERRUPTED"


_CODES: Final[tuple[tuple[type[FarmError], grpc.StatusCode], ...]] = (
    (NotFound, grpc.StatusCode.NOT_FOUND),
    (AmbiguousName, grpc.StatusCode.INVALID_ARGUMENT),
    (RequestConflict, grpc.StatusCode.INVALID_ARGUMENT),
    (BadDecision, grpc.StatusCode.INVALID_ARGUMENT),
    (BadRequest, grpc.StatusCode.INVALID_ARGUMENT),
    (Unauthenticated, grpc.StatusCode.UNAUTHENTICATED),
    (ChunksReleased, grpc.StatusCode.FAILED_PRECONDITION),
    (InvalidTransition, grpc.StatusCode.FAILED_PRECONDITION),
    (StaleWrite, grpc.StatusCode.ABORTED),
    (Fenced, grpc.StatusCode.UNAVAILABLE),
    (CoordinatorUnavailable, grpc.StatusCode.UNAVAILABLE),
    (LedgerUnavailable, grpc.StatusCode.UNAVAILABLE),
    (ObjectStoreUnavailable, grpc.StatusCode.UNAVAILABLE),
    (SubmissionInterrupted, grpc.StatusCode.UNAVAILABLE),
    (TooSlow, grpc.StatusCode.DEADLINE_EXCEEDED),
    (Stopping, grpc.StatusCode.UNAVAILABLE),
    (GatewayBusy, grpc.StatusCode.RESOURCE_EXHAUSTED),
    (TooManyQuestions, grpc.StatusCode.RESOURCE_EXHAUSTED),
)


def code_of(error: FarmError) -> grpc.StatusCode:
    """The status of an error; INTERNAL for those that no caller can help."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return grpc.StatusCode.INTERNAL


def status(code: grpc.StatusCode, reason: str, text: str) -> status_pb2.Status:
    """An error as a message: its code, its text, and an `ErrorInfo` with its reason."""
    packed = any_pb2.Any()
    packed.Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN))
    return status_pb2.Status(code=code.value[0], message=text, details=[packed])


def status_of(error: FarmError) -> status_pb2.Status:
    """The same of an error of ours."""
    return status(code_of(error), error.reason, str(error))


async def abort(context: Context, error: FarmError) -> NoReturn:
    """End the call with `error`. Never returns."""
    details = (DETAILS_KEY, status_of(error).SerializeToString())
    await context.abort(code_of(error), str(error), (details,))
    raise AssertionError("abort returns never")


def unary(
    handler: Callable[[S, Q, Context], Awaitable[A]],
) -> Callable[[S, Q, Context], Awaitable[A]]:
    """A handler whose `FarmError`s become statuses; anything else is logged and INTERNAL."""

    @wraps(handler)
    async def answered(servicer: S, request: Q, context: Context) -> A:
        try:
            return await handler(servicer, request, context)
        except Exception as error:  # noqa: BLE001 - the caller gets a status, the log the rest
            await abort(context, _told(error))

    return cast("Callable[[S, Q, Context], Awaitable[A]]", answered)


def streaming(
    handler: Callable[[S, Q, Context], AsyncIterator[A]],
) -> Callable[[S, Q, Context], AsyncIterator[A]]:
    """The same for a handler that answers with a stream."""

    @wraps(handler)
    async def answered(servicer: S, request: Q, context: Context) -> AsyncIterator[A]:
        try:
            async for answer in handler(servicer, request, context):
                yield answer
        except Exception as error:  # noqa: BLE001 - as above
            await abort(context, _told(error))

    return answered


def _told(error: Exception) -> FarmError:
    """What the caller may know of an error."""
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if isinstance(error, FarmError):
        return error
    _log.exception("a call failed", exc_info=error)
    return _Internal("the gateway failed; its log says why")


class _Internal(FarmError):
    reason = "INTERNAL"
