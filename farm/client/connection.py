"""One channel to a farm: keepalive, deadlines, the token, and which calls are tried again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from farm.client.errors import from_rpc, status_of

A = TypeVar("A", bound=Message)
Metadata = tuple[tuple[str, str], ...]

DEADLINE_SECONDS: Final = 30.0
"""Of calls that answer at once."""

SUBMIT_SECONDS: Final = 600.0
"""Of a submission, however large."""

WATCH_SECONDS: Final = 900.0
"""Of one stream of events; it is resumed when it ends."""

_MESSAGE_BYTES_MAX: Final = 64 << 20
SUBMIT_ATTEMPTS: Final = 4
# Streams are not in it: they are resumed or sent again by hand, where it is known how.
_RETRIED: Final = (
    (
        "BatchService",
        (
            "Get", "List", "ListClips", "Cancel", "Retry", "Pause", "Resume", "Amend", "Look",
            "Score", "ListChunks", "Retake", "Steer", "Review", "Estimate", "PrepareInputs",
            "ListWork",
        ),
    ),
    (
        "FleetService",
        (
            "ListNodes", "ListCards", "GetFleet", "Why", "SetStanding", "SetNode", "ListProjects",
            "SetProject", "ListLimits", "SetLimit", "ListCircuits", "SetCircuit", "ListFleetEvents",
            "ListSavedLooks", "SaveLook", "ForgetLook", "GetEconomics", "ReadLogs", "ListUsage",
            "StartRollout", "ListRollouts", "GetRollout", "DecideRollout",
        ),
    ),
)  # fmt: skip


def _service_config() -> str:
    names = [
        {"service": f"heliostat.v1.{service}", "method": method}
        for service, methods in _RETRIED
        for method in methods
    ]
    policy = {
        "maxAttempts": 5,
        "initialBackoff": "0.2s",
        "maxBackoff": "3s",
        "backoffMultiplier": 2.5,
        "retryableStatusCodes": ["UNAVAILABLE"],
    }
    return json.dumps({"methodConfig": [{"name": names, "retryPolicy": policy}]})


OPTIONS: Final = (
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 0),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.max_receive_message_length", _MESSAGE_BYTES_MAX),
    ("grpc.max_reconnect_backoff_ms", 3_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.enable_retries", 1),
    ("grpc.service_config", _service_config()),
)


def target_of(endpoint: str, ca: Path | None) -> tuple[str, grpc.ChannelCredentials | None]:
    """HOST:PORT, and by what the farm there is verified; None for one without TLS."""
    scheme, _, rest = endpoint.rpartition("://")
    if ca is None and scheme != "https":
        return rest, None
    return rest, grpc.ssl_channel_credentials(ca.read_bytes() if ca else None)


def options_of(name: str) -> tuple[tuple[str, str | int], ...]:
    """A channel's; `name` is what the certificate is checked for, where not the endpoint's."""
    return (*OPTIONS, *((("grpc.ssl_target_name_override", name),) if name else ()))


def metadata_of(token: str) -> Metadata:
    """What every call shows."""
    return (("authorization", f"Bearer {token}"),) if token else ()


class Connection:
    """A channel that carries a bearer token, and turns failed calls into `FarmError`s."""

    def __init__(
        self, endpoint: str, token: str, ca: Path | None = None, *, name: str = ""
    ) -> None:
        self.endpoint = endpoint
        target, credentials = target_of(endpoint, ca)
        options = options_of(name)
        self.channel = (
            grpc.insecure_channel(target, options=options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options=options)
        )
        self.metadata = metadata_of(token)

    def close(self) -> None:
        """End every call that is still open."""
        self.channel.close()

    def call(
        self, method: Callable[..., A], request: Message, seconds: float = DEADLINE_SECONDS
    ) -> A:
        """One answer to one request; idempotent, so the channel tries it again by itself."""
        with self.errors():
            return method(request, timeout=seconds, metadata=self.metadata)

    def send(self, method: Callable[..., A], messages: Callable[[], Iterator[Message]]) -> A:
        """One answer to a stream of messages, sent anew from the start when the farm was away.

        Only for streams with a request_id: a second copy of what was accepted changes nothing.
        """
        again = Retrying(
            retry=retry_if_exception(is_away),
            stop=stop_after_attempt(SUBMIT_ATTEMPTS),
            wait=wait_exponential(multiplier=0.5, max=5) + wait_random(0, 0.5),
            reraise=True,
        )
        with self.errors():
            return again(lambda: method(messages(), timeout=SUBMIT_SECONDS, metadata=self.metadata))

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Inside, a failed call raises the `FarmError` that it means."""
        try:
            yield
        except grpc.RpcError as error:
            raise from_rpc(error, self.endpoint) from error


def is_away(error: BaseException) -> bool:
    """Nobody answered: the same may be sent again."""
    return isinstance(error, grpc.RpcError) and status_of(error)[0] is grpc.StatusCode.UNAVAILABLE
