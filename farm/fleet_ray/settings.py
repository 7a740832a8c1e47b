"""A farm's head: where it keeps its files, which ports it takes, what it renders with."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import secrets
import socket
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final

from farm.domain.roots import roots_of, system_of
from farm.fleet_ray.private_file import write_private
from farm.objects.embedded import generate_keys
from farm.objects.s3 import S3Settings
from farm.plan.economics import Baseline, own_baseline
from farm.plan.tariff import Tariff, tariff_of

MARKER_VARIABLE: Final = "HELIOSTAT_FARM_MARKER"
"""Every process of a farm carries it in its environment, so that none is ever left behind."""

IN_FOREGROUND: Final = "--foreground"
"""Tells a supervisor to log to standard error, where who started it looks."""

PORTS: Final = (
    "grpc", "http", "s3", "s3-object", "s3-container", "s3-account", "ray-gcs", "ray-dashboard",
    "ray-agent", "ray-agent-grpc", "ray-runtime-env", "ray-node-manager", "ray-object-manager",
    "ray-metrics",
)  # fmt: skip
"""A farm's ports, in order from its base port."""


def ray_directory(marker: str) -> Path:
    """Where the Ray of the farm with this marker keeps its sessions."""
    return Path(tempfile.gettempdir()) / f"heliostat-{marker}"


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadSettings:
    """What `farm up` decided; written beside the data, secrets apart."""

    data_dir: Path
    host: str = "127.0.0.1"
    """Where the gateway listens; off loopback it speaks TLS."""
    port: int = 8460
    """The first of `PORTS`."""
    cpu_cards: int = 0
    """CPU slots that stand in for cards."""
    gpu_cards: int = 0
    renderer: str = "helios"
    model: Path | None = None
    seconds_per_chunk: float = 0.0
    """The test card's pace."""
    lanes: int = 0
    """Clips that a card renders in lockstep; 0 is what was measured for it on its node, else 1."""
    profile: str = ""
    """The only profile that this machine's cards offer; empty: all that fit."""
    loras: Path | None = None
    """Directory of pinned LoRAs, on every node."""
    inputs: tuple[Path, ...] = ()
    """Directories of the nodes that clips may start from files of."""
    roots: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Shared storage: name → operating system → directory."""
    deliveries: tuple[Path, ...] = ()
    """Directories that the gateway may deliver takes to."""
    ledger: str = ""
    """URL of the ledger's database without its password; empty: the file here."""
    keep_chunks_days: float = 30.0
    """Segments and negatives after their clip ended; 0 is for ever."""
    keep_events_days: float = 0.0
    """Events after their batch ended; 0 is for ever."""
    s3_endpoint: str = ""
    """Empty: the embedded server."""
    s3_bucket: str = "heliostat"
    s3_region: str = "us-east-1"
    redis: str = ""
    """Where Ray's head keeps its own state, so that nodes outlast it; empty: nowhere."""
    ray_dashboard: bool = False
    notices_hook: str = ""
    """A command that is run for every notice; empty is none."""
    cors_origins: tuple[str, ...] = ()
    """Whose pages may call the API by JSON."""
    baseline: str = "h100"
    baseline_fps: float = 0.0
    """Frames per second of the baseline as measured here; 0 is as published."""
    baseline_steps: str = ""
    currency: str = "USD"
    """What a batch costs is reckoned in it, by these prices (`tariff`)."""
    electricity_price: float = 0.17
    card_prices: str = ""
    card_years: float = 3.0
    card_watts: float = 65.0
    host_price: float = 350.0
    h100_hour_price: float = 2.5
    cloud_prices: str = "2,4,8"
    cloud_second_price: float = 0.0
    comparators: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What else the fleet is compared with: name → what differs from the defaults."""
    mark_seam_flicker: float = 4.0
    """Beyond these, signals of quality mark a take; `thresholds` is how cards get them."""
    mark_black_frames: int = 12
    mark_frozen_frames: int = 12
    mark_over_saturation: float = 0.25
    mark_drift: float = 0.15
    log_level: str = "info"
    traces_endpoint: str = ""
    """Where OpenTelemetry's spans go, by OTLP over HTTP; empty is as the environment says."""
    tls_certificate: Path | None = None
    """PEM; None off loopback: the farm makes its own."""
    tls_key: Path | None = None

    def port_of(self, name: str) -> int:
        """The port of one of `PORTS`."""
        return self.port + PORTS.index(name)

    @property
    def embedded_store(self) -> bool:
        """The farm brings its own S3 server."""
        return not self.s3_endpoint

    @property
    def marker(self) -> str:
        """Tells this farm's processes from any other's."""
        return hashlib.sha256(str(self.data_dir).encode()).hexdigest()[:16]

    @property
    def on_loopback(self) -> bool:
        """Only this machine can reach the farm."""
        return self.host == "localhost" or (
            not self.anywhere and ipaddress.ip_address(self.host).is_loopback
        )

    @property
    def anywhere(self) -> bool:
        """The gateway listens on every address of the machine."""
        return self.host in ("0.0.0.0", "::")  # noqa: S104 - compared, not bound

    @property
    def input_directories(self) -> tuple[str, ...] | None:
        """Where files that clips start from lie; None is anywhere, on a desk that names none."""
        if not self.inputs and self.on_loopback:
            return None
        return tuple(map(str, self.inputs))

    @property
    def roots_here(self) -> dict[str, str]:
        """Shared storage as this machine has it: name → directory."""
        found = {root.name: root.directories for root in roots_of(self.roots)}
        system = system_of(sys.platform)
        return {name: by[system] for name, by in found.items() if system in by}

    @property
    def local_host(self) -> str:
        """An address of the gateway for clients on this machine."""
        return "127.0.0.1" if self.anywhere else self.host

    @property
    def ray_host(self) -> str:
        """The address of Ray's head: one that other machines can reach, off loopback."""
        return get_node_address() if self.anywhere else self.host

    @property
    def ray_address(self) -> str:
        """Ray's head."""
        return f"{self.ray_host}:{self.port_of('ray-gcs')}"

    @property
    def ray_directory(self) -> Path:
        """Ray's session files: a short path, for its sockets' names may not be long."""
        return ray_directory(self.marker)

    @property
    def store_path(self) -> Path:
        """The ledger, where none other is named."""
        return self.data_dir / "store" / "farm.db"

    @property
    def identity_path(self) -> Path:
        """Which farm's ledger it has to be."""
        return self.data_dir / "ledger.json"

    @property
    def logs(self) -> Path:
        """Where processes write what they have to say."""
        return self.data_dir / "logs"

    def log_file(self, component: str) -> Path:
        """Where a process of the head logs."""
        return self.logs / f"{component}.jsonl"

    @property
    def state_path(self) -> Path:
        """What a running farm tells its clients."""
        return self.data_dir / "farm.json"

    @property
    def compared_with(self) -> Baseline:
        """What the fleet's frame rate is compared with."""
        steps = tuple(int(step) for step in self.baseline_steps.split(",") if step)
        return own_baseline(self.baseline, self.baseline_fps, steps)

    @property
    def tariff(self) -> Tariff:
        """What cards, electricity, H100s and clouds cost."""
        return tariff_of(self)

    @property
    def thresholds(self) -> dict[str, Any]:
        """Which signals of quality mark a take, by the names that cards know them by."""
        values = asdict(self).items()
        return {n.removeprefix("mark_"): value for n, value in values if n.startswith("mark_")}

    def secret(self, name: str) -> Path:
        """A file that only its owner reads."""
        return self.data_dir / "secrets" / name

    def save(self) -> None:
        """Write the settings for the farm's own processes."""
        content = {name: _plain(value) for name, value in asdict(self).items()}
        path = self.data_dir / "head.json"
        path.write_text(json.dumps(content, indent=2) + "\n")

    @classmethod
    def load(cls, data_dir: Path) -> HeadSettings:
        """Read them back. Raises OSError, ValueError."""
        content = json.loads((data_dir / "head.json").read_text())
        known = {field.name for field in fields(cls)}
        values = {name: value for name, value in content.items() if name in known}
        for name in ("data_dir", "model", "loras", "tls_certificate", "tls_key"):
            values[name] = Path(values[name]) if values.get(name) else None
        for name in ("inputs", "deliveries"):
            values[name] = tuple(map(Path, values.get(name, ())))
        values["cors_origins"] = tuple(values.get("cors_origins", ()))
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Secrets:
    """What nobody else may know."""

    api_token: str
    ray_token: str
    s3_access_key: str
    s3_secret_key: str
    redis_password: str
    notices_webhook: str = ""
    notices_secret: str = ""

    def __repr__(self) -> str:
        return "Secrets(…)"

    @classmethod
    def load(cls, settings: HeadSettings) -> Secrets:
        """Read them from the data directory. Raises OSError."""
        return cls(
            **{
                field.name: settings.secret(field.name).read_text().strip()
                for field in fields(cls)
                if field.default is MISSING or settings.secret(field.name).exists()
            }
        )


def ensure_secrets(
    settings: HeadSettings,
    *,
    api_token: str = "",
    ray_token: str = "",
    s3_access_key: str = "",
    s3_secret_key: str = "",
    redis_password: str = "",
    notices_webhook: str = "",
    notices_secret: str = "",
) -> Secrets:
    """Keep the secrets given; make those that are missing, once."""
    made_access, made_secret = generate_keys()
    given_or_made = {
        "api_token": (api_token, secrets.token_urlsafe(32)),
        "ray_token": (ray_token, secrets.token_hex(32)),
        "s3_access_key": (s3_access_key, made_access),
        "s3_secret_key": (s3_secret_key, made_secret),
        "redis_password": (redis_password, ""),
        "notices_webhook": (notices_webhook, ""),
        "notices_secret": (notices_secret, secrets.token_urlsafe(32)),
    }
    for name, (given, made) in given_or_made.items():
        path = settings.secret(name)
        if given or not path.exists():
            write_private(path, f"{given or made}\n".encode())
    return Secrets.load(settings)


def s3_settings(settings: HeadSettings, keys: Secrets) -> S3Settings:
    """The object store, as the head reaches it."""
    endpoint = settings.s3_endpoint or f"http://127.0.0.1:{settings.port_of('s3')}"
    return S3Settings(
        endpoint=endpoint,
        bucket=settings.s3_bucket,
        region=settings.s3_region,
        access_key=keys.s3_access_key,
        secret_key=keys.s3_secret_key,
    )


def _plain(value: object) -> object:
    """A setting as JSON has it."""
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, Path) else value


def get_node_address() -> str:
    """The address by which this machine is known to others; loopback when it has no other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing: it only picks the interface
            return str(probe.getsockname()[0])
        except OSError:
            return "127.0.0.1"
