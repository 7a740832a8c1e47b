"""Every setting: its name, its kind, its default, and what it is."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    SettingsConfigDict,
)

from farm.domain.errors import FarmError
from farm.domain.roots import roots_of
from farm.plan.economics import Baseline, own_baseline
from farm.plan.money.comparators import comparators_of
from farm.plan.tariff import Tariff, parse_cloud, parse_prices, tariff_of

PREFIX: Final = "HELIOSTAT_"
CONFIG_VARIABLE: Final = "HELIOSTAT_CONFIG"
CREDENTIALS_VARIABLE: Final = "CREDENTIALS_DIRECTORY"
"""Systemd's own."""
FILE_NAME: Final = "farm.toml"
"""In the data directory, where no other file is named."""

TOKEN_CHARS_MIN: Final = 16
_ORIGIN: Final = re.compile(r"https?://[A-Za-z0-9.\[\]:-]+")
_LAST_PORT: Final = 65_535 - 20


class ConfigError(FarmError):
    """Settings that cannot be used; one line for each."""

    reason = "CONFIG"

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = list(problems)


class FarmConfig(BaseSettings):
    """What a farm, or a client of one, is told."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        validate_default=True,
    )

    data_dir: Path = Field(Path("~/.heliostat"), description="Where a farm keeps its files.")
    host: str = Field("127.0.0.1", description="Address that the gateway listens on.")
    port: int = Field(
        8460, ge=1024, le=_LAST_PORT, description="First of the farm's ports: gRPC, then the rest."
    )
    cpu_cards: int = Field(0, ge=0, le=256, description="CPU slots that stand in for cards.")
    gpu_cards: int = Field(0, ge=0, le=256, description="GPUs of this machine that are cards.")
    renderer: Literal["helios", "testcard"] = Field(
        "helios", description="What the cards render with; `testcard` needs no model."
    )
    model: Path | None = Field(
        None,
        description="Directory of the model to render with. For CPU cards a small one is built.",
    )
    seconds_per_chunk: float = Field(0.0, ge=0, le=3600, description="The test card's pace.")
    lanes: int = Field(
        0,
        ge=0,
        le=16,
        description="Clips that a card renders in lockstep; 0 is what `farm-node bench --tune` "
        "found for it, else 1.",
    )
    profile: Literal["", "exact", "fast", "fast-fp8"] = Field(
        "", description="The only profile of this machine's cards; empty: all that fit."
    )
    loras: Path | None = Field(None, description="Directory of pinned LoRAs, on every node.")
    inputs: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Directories of the nodes that clips may start from files of; on loopback "
        "none means anywhere. In the environment they stand apart by colons.",
    )
    roots: dict[str, dict[str, str]] = Field(
        {},
        description="Shared storage by name: a table of `linux`, `windows`, `macos` for each. In "
        "the environment as JSON.",
    )
    ledger: SecretStr | None = Field(
        None,
        description="postgresql://USER@HOST/DATABASE of the ledger; empty keeps it in the data "
        "directory. With a password it is no flag.",
    )
    keep_chunks_days: float = Field(
        30.0,
        ge=0,
        le=36_500,
        description="Days that segments and negatives are kept after their clip ended; of a "
        "finished clip the last checkpoint stays. 0 is for ever.",
    )
    keep_events_days: float = Field(
        0.0,
        ge=0,
        le=36_500,
        description="Days that events are kept after their batch ended; 0 is for ever.",
    )
    s3_endpoint: str = Field("", description="URL of the object store; empty starts one here.")
    s3_bucket: str = Field("heliostat", min_length=3, max_length=63, description="Its bucket.")
    s3_region: str = Field("us-east-1", description="Its region.")
    s3_access_key: SecretStr | None = Field(None, description="Access key of the object store.")
    s3_secret_key: SecretStr | None = Field(None, description="Secret key of the object store.")
    redis: str = Field(
        "",
        description="HOST:PORT of a Redis that keeps Ray's own state: nodes then go on rendering "
        "while the head is restarted.",
    )
    redis_password: SecretStr | None = Field(None, description="Password of that Redis.")
    ray_dashboard: bool = Field(False, description="Start Ray's dashboard, on loopback.")
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Origins, such as `https://tools.example`, whose pages may call the API by "
        "JSON in a browser; `*` is all. In the environment they stand apart by commas.",
    )
    tls_certificate: Path | None = Field(
        None, description="PEM file of the gateway's certificate; off loopback one is made."
    )
    tls_key: Path | None = Field(None, description="PEM file of its key.")
    api_token: SecretStr | None = Field(
        None, description="What clients show; on loopback `farm up` makes one."
    )
    ray_token: SecretStr | None = Field(
        None, description="What Ray's nodes show; on loopback `farm up` makes one."
    )
    notices_webhook: SecretStr | None = Field(
        None, description="URL that hears what became of every batch; batches may name their own."
    )
    notices_secret: SecretStr | None = Field(
        None, description="Signs what is posted; `farm up` makes one."
    )
    notices_hook: str = Field(
        "", description="Command that is run for every notice, its CloudEvent on standard input."
    )
    baseline: Literal["h100", "rtx-4060-ti"] = Field(
        "h100", description="What the fleet's frame rate is compared with."
    )
    baseline_fps: float = Field(
        0.0, ge=0, le=1e6, description="Its frames per second as you measured them; 0: published."
    )
    baseline_steps: str = Field(
        "",
        pattern=r"^(\d{1,4}(,\d{1,4})*)?$",
        description="Its steps, as in `2,2,2`; empty: 1,1,1.",
    )
    currency: str = Field(
        "USD", pattern="^[A-Z]{3}$", description="What money is reckoned in; ISO 4217."
    )
    electricity_price: float = Field(
        0.17, ge=0, le=1e6, description="Of a kWh. [average of US households, assumed]"
    )
    card_prices: str = Field(
        "",
        description="Of cards by type, as in `rtx-4060-ti=420,h100=28000`; the others' are as the "
        "card table has them. [assumed]",
    )
    card_years: float = Field(
        3.0, gt=0, le=100, description="Over which a card's price is spread. [assumed]"
    )
    card_watts: float = Field(
        65.0,
        ge=0,
        le=10_000,
        description="Of a card that neither measures nor says what it draws, such as a CPU slot. "
        "[assumed]",
    )
    host_price: float = Field(
        350.0,
        ge=0,
        le=1e6,
        description="Of a machine around one card: board, CPU, RAM, power supply; its share where "
        "it holds several. [assumed]",
    )
    h100_hour_price: float = Field(
        2.5, ge=0, le=1e6, description="Of an H100 rented by the hour. [assumed]"
    )
    cloud_prices: str = Field(
        "2,4,8",
        description="Of a generation in a cloud: lowest, average, highest. [by the press]",
    )
    cloud_second_price: float = Field(
        0.0,
        ge=0,
        le=1e6,
        description="Of a second of video in a cloud; above 0 it takes the average's place.",
    )
    comparators: dict[str, dict[str, str | float]] = Field(
        {},
        description="What else the fleet is compared with by `farm economics`: a table for each "
        "name. In the environment as JSON.",
    )
    mark_seam_flicker: float = Field(
        4.0,
        ge=0,
        le=1e6,
        description="A take is marked when the worst chunk boundary changes this many times as "
        "much as the rest.",
    )
    mark_black_frames: int = Field(
        12, ge=0, le=1_000_000, description="Or when more near-black frames follow each other."
    )
    mark_frozen_frames: int = Field(
        12, ge=0, le=1_000_000, description="Or when more frames in a row repeat the one before."
    )
    mark_over_saturation: float = Field(
        0.25, ge=0, le=1, description="Or when a larger share of it is, or becomes, over-saturated."
    )
    mark_drift: float = Field(
        0.15, ge=0, le=2, description="Or when colour, contrast and saturation drift further."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="From which level on the farm's own words are logged."
    )
    traces_endpoint: str = Field(
        "",
        pattern=r"^(https?://[^\s?@]+)?$",
        description="Where OpenTelemetry's spans go, such as `http://collector:4318`; empty: as "
        "`OTEL_EXPORTER_OTLP_ENDPOINT` says.",
    )
    endpoint: str = Field("", description="HOST:PORT of the farm to talk to; empty: the local one.")
    ca: Path | None = Field(None, description="PEM file of the authority of a farm with TLS.")
    project: str = Field("default", min_length=1, description="Whose work a submission is.")
    reviewer: str = Field(
        "", max_length=200, description="Who approves and rejects; empty: the login, USER@HOST."
    )
    deliveries: Annotated[tuple[Path, ...], NoDecode] = Field(
        (),
        description="Directories of the gateway's machine that takes may be delivered to; none: "
        "nothing is delivered. In the environment they stand apart by colons.",
    )

    @property
    def compared_with(self) -> Baseline:
        """What the fleet's frame rate is compared with."""
        steps = tuple(int(step) for step in self.baseline_steps.split(",") if step)
        return own_baseline(self.baseline, self.baseline_fps, steps)

    @property
    def tariff(self) -> Tariff:
        """What cards, machines, electricity, H100s and clouds cost."""
        return tariff_of(self)

    @property
    def only_cpu_cards(self) -> bool:
        """Cards that a small model is good enough for: one is built where none is named."""
        return self.cpu_cards > 0 and self.gpu_cards == 0

    @field_validator("data_dir", "model", "loras", "ca", "tls_certificate", "tls_key")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

    @field_validator("log_level", mode="before")
    @classmethod
    def _in_any_case(cls, value: Any) -> Any:
        return value.lower() if isinstance(value, str) else value

    @field_validator("notices_webhook")
    @classmethod
    def _is_url(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not value.get_secret_value().startswith(("https://", "http://")):
            raise ValueError("is no URL: write https://HOST/PATH")
        return value

    @field_validator("notices_hook")
    @classmethod
    def _is_command(cls, value: str) -> str:
        shlex.split(value)  # ValueError: the quotes do not match
        return value

    @field_validator("card_prices")
    @classmethod
    def _prices(cls, value: str) -> str:
        parse_prices(value)
        return value

    @field_validator("comparators")
    @classmethod
    def _comparable(cls, tables: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        comparators_of(tables)
        return tables

    @field_validator("cloud_prices")
    @classmethod
    def _cloud(cls, value: str) -> str:
        parse_cloud(value)
        return value

    @field_validator("redis")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        host, _, port = value.removeprefix("rediss://").removeprefix("redis://").rpartition(":")
        if "@" in value:
            raise ValueError(f"has a password in it: set {PREFIX}REDIS_PASSWORD instead")
        if value and not (host and port.isdecimal()):
            raise ValueError(f"{value!r} is no address; write HOST:PORT")
        return value

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _by_commas(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [part.strip() for part in value.split(",") if part.strip()]
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, origins: tuple[str, ...]) -> tuple[str, ...]:
        for origin in origins:
            if origin != "*" and not _ORIGIN.fullmatch(origin):
                raise ValueError(
                    f"{origin!r} is no origin; write https://HOST or https://HOST:PORT"
                )
        return origins

    @field_validator("roots")
    @classmethod
    def _that_can_be(cls, roots: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        roots_of(roots)
        return roots

    @field_validator("inputs", "deliveries", mode="before")
    @classmethod
    def _apart(cls, value: Any) -> Any:
        return [part for part in value.split(":") if part] if isinstance(value, str) else value

    @field_validator("inputs", "deliveries")
    @classmethod
    def _in_order(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(Path(os.path.abspath(path.expanduser())) for path in paths)


SECRET_SETTINGS: Final = tuple(
    name for name, field in FarmConfig.model_fields.items() if field.annotation == SecretStr | None
)
"""Settings that have no flag, and are never shown."""
