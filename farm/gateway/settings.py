"""What a gateway is told when it starts, with all its limits."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from farm.domain.roots import Root
from farm.gateway.notifier import NoticeSettings
from farm.gateway.retention import Retention
from farm.plan.economics import H100, Baseline, ModelShape
from farm.plan.money.comparators import DEFAULTS, Comparator
from farm.plan.tariff import Tariff


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a gateway takes on at once; whoever hits a limit is told which."""

    rpcs_max: int = 2048
    """gRPC calls in progress; more are RESOURCE_EXHAUSTED."""
    json_calls_max: int = 256
    """Calls by JSON in progress; more are RESOURCE_EXHAUSTED too."""
    message_bytes_max: int = 16 << 20
    """Of a message by gRPC, and of a body by JSON."""
    row_bytes_max: int = 64 << 10
    """Of one row of a submission: all its columns together."""
    rows_max: int = 1_000_000
    """Of one batch."""
    block_rows: int = 500
    """Rows that are checked and staged in one go."""
    submissions_max: int = 32
    """Submissions read at once; others wait."""
    submit_seconds_idle_max: float = 120.0
    """Longest silence in the middle of a submission."""
    problems_bytes_max: int = 3 << 20
    """Of the list of problems in one answer; gRPC clients take 4 MiB by default."""
    watchers_max: int = 256
    watch_seconds: float = 0.25
    """How often a watcher's events are looked for."""
    watch_events: int = 500
    """Events read in one go."""
    page_default: int = 100
    page_max: int = 1000
    group_max: int = 256
    """Exchanges in one call to the coordinator."""
    exchanges_max: int = 4096
    """Exchanges in progress."""
    exchange_bytes_max: int = 8 << 20
    verify_threads: int = 16
    verifications_max: int = 4096
    """Objects being verified, or waiting for it."""
    verify_seconds_max: float = 8.0
    """How long an exchange waits for them: it is a heartbeat, and must arrive."""
    verified_max: int = 20_000
    """Verified objects that are remembered."""
    input_files_max: int = 500
    """Files that clips start from, asked for in one call."""
    input_parts_max: int = 2_000
    """Of those files together."""
    input_promises_max: int = 200_000
    """Files that are remembered as named to clients, so that they are not swept."""
    input_threads: int = 8
    read_threads: int = 4
    coordinator_seconds_max: float = 30.0
    """Longest wait for one answer of the coordinator."""
    fleet_seconds: float = 1.0
    """How long the view of the fleet is good for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewaySettings:
    """Where a gateway listens, whom it lets in, and what it compares the fleet with."""

    api_token: str = field(repr=False)
    """What every caller has to show."""
    host: str = "127.0.0.1"
    grpc_port: int = 0
    """0 takes a free one; `Gateway.grpc_port` says which."""
    http_port: int = 0
    model_dir: Path | None = None
    """For counting prompts' tokens; without a model, words are counted."""
    bucket: str = "heliostat"
    """The farm's, which clips may start from objects of."""
    inputs: tuple[str, ...] | None = None
    """Directories of the nodes that clips may start from files of; None is anywhere."""
    roots: tuple[Root, ...] = ()
    """Shared storage that clips may start from files of."""
    deliveries: tuple[Path, ...] = ()
    """Directories that takes may be delivered to; none: nothing is."""
    logs: Path | None = None
    """Where coordinator and gateways log, a file each; None: their logs cannot be asked for."""
    loras: bool = True
    """The farm has a directory of LoRAs."""
    model: ModelShape | None = None
    """What the fleet renders with; None for test cards."""
    baseline: Baseline = H100
    tariff: Tariff = field(default_factory=Tariff)
    comparators: tuple[Comparator, ...] = DEFAULTS
    """What else the fleet is compared with."""
    tls_key: Path | None = None
    """PEM file; with `tls_certificate` both ports speak TLS."""
    tls_certificate: Path | None = None
    cors_origins: tuple[str, ...] = ()
    """Origins whose pages browsers may let call the API by JSON; `*` is all."""
    limits: Limits = field(default_factory=Limits)
    retention: Retention = field(default_factory=Retention)
    notices: NoticeSettings = field(default_factory=NoticeSettings)

    def __post_init__(self) -> None:
        if len(self.api_token) < 16 or not self.api_token.isascii():
            raise ValueError("the API token must have at least 16 ASCII characters")
        if (self.tls_key is None) != (self.tls_certificate is None):
            raise ValueError("TLS needs both a key and a certificate")
