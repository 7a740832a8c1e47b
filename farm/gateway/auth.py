"""Every call shows a bearer token; only health checks need none."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio

from farm.gateway.grpc_errors import Context, Unauthenticated, abort

if TYPE_CHECKING:
    _Interceptor = grpc.aio.ServerInterceptor[Any, Any]  # generic in its stubs only
else:
    _Interceptor = grpc.aio.ServerInterceptor

_EXEMPT = "/grpc.health.v1.Health/"
_SCHEME = "bearer "


class TokenInterceptor(_Interceptor):
    """Refuses calls without `authorization: Bearer TOKEN`, before a byte of them is read."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any]]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any]:
        """The real handler, or one that refuses."""
        method = str(handler_call_details.method)
        if method.startswith(_EXEMPT) or self._knows(handler_call_details):
            return await continuation(handler_call_details)
        return grpc.stream_stream_rpc_method_handler(_refuse)

    def _knows(self, details: grpc.HandlerCallDetails) -> bool:
        for name, value in details.invocation_metadata or ():
            if name == "authorization":
                shown = value if isinstance(value, bytes) else value.encode("utf-8", "replace")
                return shows_token(shown, self._token)
        return False


def shows_token(authorization: bytes, token: bytes) -> bool:
    """Whether an `authorization` says `Bearer` and the token; takes as long whatever it says."""
    is_bearer = authorization[: len(_SCHEME)].lower() == _SCHEME.encode()
    return is_bearer and hmac.compare_digest(authorization[len(_SCHEME) :].strip(), token)


def shows_password(authorization: bytes, token: bytes) -> bool:
    """Whether it is HTTP Basic with the token as the password, which browsers ask for."""
    scheme, _, encoded = authorization.partition(b" ")
    if scheme.lower() != b"basic":
        return False
    try:
        told = base64.b64decode(encoded.strip(), validate=True)
    except ValueError:
        return False
    return hmac.compare_digest(told.partition(b":")[2], token)


def no_valid_token() -> Unauthenticated:
    """What a caller is told that shows no token, or a wrong one."""
    return Unauthenticated(
        "no valid API token: send `authorization: Bearer TOKEN`; a local farm's token is in "
        "secrets/api_token of its data directory"
    )


async def _refuse(_requests: Any, context: Context) -> None:
    await abort(context, no_valid_token())
