"""The API by JSON: `POST /v1/BatchService/List` with protobuf-JSON, for browsers and scripts.

The calls are those of the .proto files, and the servicers that answer them are gRPC's own. What is
another here is only how requests, answers, streams and errors are written; docs/api.md has it all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, Final

import grpc
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from farm.domain.errors import FarmError
from farm.gateway.auth import no_valid_token, shows_token
from farm.gateway.coordinator_link import GatewayBusy
from farm.gateway.grpc_errors import BadRequest, Stopping, status
from farm.gateway.json_bodies import (
    JSON,
    NDJSON,
    content_type,
    message_json,
    parsed,
    read_body,
    submission,
    submission_lines,
)
from farm.gateway.json_errors import Failed, JsonContext, answer, failure
from farm.gateway.json_events import event_stream
from farm.gateway.settings import GatewaySettings
from farm.gateway.threads import Threads
from heliostat.v1 import batch_service_pb2, fleet_service_pb2

_log = logging.getLogger(__name__)

PREFIX: Final = "/v1"
TIMEOUT_HEADER: Final = "heliostat-timeout"
SECONDS: Final = 30.0
"""Deadline of a call that names none."""
SUBMIT_SECONDS: Final = 600.0
"""Of a submission that names none, and the longest that any call may name."""

SERVICES: Final[tuple[ServiceDescriptor, ...]] = (
    batch_service_pb2.DESCRIPTOR.services_by_name["BatchService"],
    fleet_service_pb2.DESCRIPTOR.services_by_name["FleetService"],
)
"""Nodes speak gRPC only: their service is none of these."""


def path_of(method: MethodDescriptor) -> str:
    """Where a call is reached."""
    return f"{PREFIX}/{method.containing_service.name}/{method.name}"


@dataclass(frozen=True, slots=True)
class _Call:
    method: MethodDescriptor
    handler: Any
    """The servicer's bound method."""

    @property
    def request(self) -> type[Message]:
        return GetMessageClass(self.method.input_type)

    @property
    def is_written(self) -> bool:
        """False for what only the generated base class answers."""
        return iscoroutinefunction(self.handler) or isasyncgenfunction(self.handler)


class JsonApi:
    """The routes of the API."""

    def __init__(
        self, settings: GatewaySettings, threads: Threads, servicers: Mapping[str, object]
    ) -> None:
        """`servicers` by the names of their services, such as `BatchService`."""
        self._token = settings.api_token.encode()
        self._limits = settings.limits
        self._threads = threads
        self._open = 0
        self.serving = True
        """False while the gateway is being stopped."""
        self.routes = [
            self._route(_Call(method, getattr(servicers[service.name], method.name)))
            for service in SERVICES
            for method in service.methods
        ]

    def _route(self, call: _Call) -> Route:
        async def endpoint(request: Request) -> Response:
            self._open += 1
            try:
                return await self._answered(call, request)
            except (FarmError, Failed) as error:
                return failure(error)
            except Exception:  # noqa: BLE001 - the caller gets a status, the log the rest
                _log.exception("a call by JSON failed")
                text = "the gateway failed; its log says why"
                return failure(Failed(status(grpc.StatusCode.INTERNAL, "INTERNAL", text)))
            finally:
                self._open -= 1

        return Route(path_of(call.method), endpoint, methods=["POST"], name=call.method.full_name)

    async def _answered(self, call: _Call, request: Request) -> Response:
        if not shows_token(request.headers.get("authorization", "").encode(), self._token):
            raise no_valid_token()
        if not self.serving:
            raise Stopping("this gateway stops: send the request again")
        if self._open > self._limits.json_calls_max:
            raise GatewayBusy(f"{self._open} calls by JSON are in progress (json_calls_max)")
        if not call.is_written:
            text = f"this farm has no {call.method.name} yet: see GET {PREFIX}/openapi.json"
            raise Failed(status(grpc.StatusCode.UNIMPLEMENTED, "UNIMPLEMENTED", text))
        seconds = _seconds(request, SUBMIT_SECONDS if call.method.client_streaming else SECONDS)
        try:
            async with asyncio.timeout(seconds):
                if call.method.client_streaming:
                    sent: Any = await self._parts(request)
                else:
                    content_type(request, (JSON,))
                    body = await read_body(request, self._limits.message_bytes_max)
                    sent = await self._threads.run(parsed, body, call.request)
                if call.method.server_streaming:
                    return await event_stream(request, sent, call.handler)
                message = await call.handler(sent, JsonContext())
                return answer(await self._threads.run(message_json, message))
        except TimeoutError:
            code = grpc.StatusCode.DEADLINE_EXCEEDED
            text = f"not answered within {seconds:g} s ({TIMEOUT_HEADER}): it may still be done"
            raise Failed(status(code, "DEADLINE_EXCEEDED", text)) from None

    async def _parts(self, request: Request) -> AsyncIterator[Message]:
        """A submission, whole or line by line."""
        if content_type(request, (JSON, NDJSON)) == NDJSON:
            return submission_lines(request, self._limits, self._threads)
        body = await read_body(request, self._limits.message_bytes_max)
        return _each(await self._threads.run(submission, body, self._limits))


async def _each(messages: list[Any]) -> AsyncIterator[Any]:
    for message in messages:
        yield message


def _seconds(request: Request, usual: float) -> float:
    """How long a call may take. Raises `BadRequest`."""
    told = request.headers.get(TIMEOUT_HEADER)
    if told is None:
        return usual
    try:
        seconds = float(told)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= SUBMIT_SECONDS:
        raise BadRequest(
            f"{told[:20]!r} is no {TIMEOUT_HEADER}: give seconds, {SUBMIT_SECONDS:.0f} at most"
        )
    return seconds
