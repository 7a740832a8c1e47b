"""`farm.json`: what a running farm tells its clients on the same machine."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass

import psutil

from farm.fleet_ray.settings import HeadSettings
from farm.fleet_ray.tls import name_to_check


@dataclass(frozen=True, slots=True, kw_only=True)
class FarmState:
    """Where a farm serves, and who keeps it running."""

    stage: str
    """What its head is doing."""
    serving: bool
    endpoint: str
    """Of the gateway's gRPC, host:port."""
    http: str
    """URL of /metrics and /healthz."""
    ca: str
    """PEM file by which clients verify the gateway; empty where it speaks without TLS."""
    token_file: str
    s3_endpoint: str
    s3_bucket: str
    ray_address: str
    pid: int
    """Of the supervisor."""
    name: str = ""
    """By which clients check the gateway's certificate; empty: the endpoint's own."""

    @classmethod
    def of(cls, settings: HeadSettings, stage: str, *, serving: bool) -> FarmState:
        """The state of the farm that this process supervises."""
        s3 = settings.s3_endpoint or f"http://127.0.0.1:{settings.port_of('s3')}"
        certificate = settings.tls_certificate
        scheme = "https" if certificate else "http"
        return cls(
            stage=stage,
            serving=serving,
            endpoint=f"{settings.local_host}:{settings.port_of('grpc')}",
            http=f"{scheme}://{settings.local_host}:{settings.port_of('http')}",
            ca=str(certificate or ""),
            token_file=str(settings.secret("api_token")),
            s3_endpoint=s3,
            s3_bucket=settings.s3_bucket,
            ray_address=settings.ray_address,
            pid=os.getpid(),
            name=name_to_check(certificate, settings.local_host) if certificate else "",
        )


def write_state(settings: HeadSettings, state: FarmState) -> None:
    """Write it in one step."""
    temporary = settings.state_path.with_suffix(".tmp")
    temporary.write_text(json.dumps(asdict(state), indent=2) + "\n")
    temporary.replace(settings.state_path)


def read_state(settings: HeadSettings) -> FarmState | None:
    """The state of a farm; None when there is none, or its head is dead."""
    try:
        state = FarmState(**json.loads(settings.state_path.read_text()))
    except (OSError, ValueError, TypeError):
        return None
    return state if _is_supervisor(state.pid, settings) else None


def _is_supervisor(pid: int, settings: HeadSettings) -> bool:
    """The process is alive, and still the one that wrote the state."""
    try:
        return str(settings.data_dir) in psutil.Process(pid).cmdline()
    except psutil.Error:
        return False
