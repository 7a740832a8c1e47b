"""Calls the farm: a TCP connection, then the gateway's health check (gRPC health protocol v1)."""

from __future__ import annotations

import socket
import time
from pathlib import Path
from typing import Final

import grpc

from node_agent.doctor.stack import NetworkFacts

CALL_SECONDS_MAX: Final = 5.0

_CHECK: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = b"\x08\x01"
"""`HealthCheckResponse{status: SERVING}`: one field, not worth a package of its own on nodes."""


def network(endpoint: str, ca: Path | None = None) -> NetworkFacts:
    """Call a gateway, `HOST:PORT` or `https://HOST:PORT`. Raises ValueError for anything else."""
    scheme, _, address = endpoint.rpartition("://")
    host, _, port = address.rpartition(":")
    if scheme not in ("", "https", "http") or not host or not port.isdecimal():
        raise ValueError(f"{endpoint}: not an endpoint; write HOST:PORT, as farm.example:8460")
    began = time.perf_counter()
    try:
        target = (host.strip("[]"), int(port))
        socket.create_connection(target, timeout=CALL_SECONDS_MAX).close()
    except OSError as error:
        return NetworkFacts(endpoint=endpoint, problem=error.strerror or str(error))
    seconds = time.perf_counter() - began
    try:
        serving = _health(address, tls=scheme == "https" or ca is not None, ca=ca)
    except grpc.RpcError as error:
        problem = f"{error.code().name}: {error.details()}"
        return NetworkFacts(endpoint=endpoint, seconds=seconds, problem=problem)
    return NetworkFacts(endpoint=endpoint, seconds=seconds, serving=serving)


def _health(address: str, *, tls: bool, ca: Path | None) -> bool:
    if tls:
        roots = ca.read_bytes() if ca else None
        channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(roots))
    else:
        channel = grpc.insecure_channel(address)
    with channel:
        check = channel.unary_unary(_CHECK, request_serializer=bytes, response_deserializer=bytes)
        return bool(check(b"", timeout=CALL_SECONDS_MAX) == _SERVING)
