"""Settings: one TOML file, then the environment, then flags; the later one wins.

Every setting has one name: `s3_endpoint` in the file, `HELIOSTAT_S3_ENDPOINT` in the environment,
`--s3-endpoint` on the command line. docs/configuration.md lists them all.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import shlex
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from farm.domain.errors import FarmError
from farm.failpoints import VARIABLE as FAILPOINTS

PREFIX: Final = "HELIOSTAT_"
CONFIG_VARIABLE: Final = "HELIOSTAT_CONFIG"
FILE_NAME: Final = "farm.toml"
"""In the data directory, where no other file is named."""

TOKEN_CHARS_MIN: Final = 16
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
    def only_cpu_cards(self) -> bool:
        """Cards that a small model is good enough for: one is built where none is named."""
        return self.cpu_cards > 0 and self.gpu_cards == 0

    @field_validator("data_dir", "model", "loras", "ca", "tls_certificate", "tls_key")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        return path.expanduser().absolute() if path else None

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

    @field_validator("redis")
    @classmethod
    def _no_secret(cls, value: str) -> str:
        host, _, port = value.removeprefix("rediss://").removeprefix("redis://").rpartition(":")
        if "@" in value:
            raise ValueError(f"has a password in it: set {PREFIX}REDIS_PASSWORD instead")
        if value and not (host and port.isdecimal()):
            raise ValueError(f"{value!r} is no address; write HOST:PORT")
        return value

    @field_validator("inputs", "deliveries", mode="before")
    @classmethod
    def _apart(cls, value: Any) -> Any:
        return [part for part in value.split(":") if part] if isinstance(value, str) else value

    @field_validator("inputs", "deliveries")
    @classmethod
    def _in_order(cls, paths: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(Path(os.path.abspath(path.expanduser())) for path in paths)


def load(
    config_file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    remembered: Mapping[str, Any] | None = None,
) -> FarmConfig:
    """All layers together. `flags` that are None were not given. Raises `ConfigError`.

    `remembered` is what a farm was started with the last time: it counts where nothing else does.
    """
    given = {name: value for name, value in (flags or {}).items() if value is not None}
    path, values = _file_values(config_file, given)

    class Layered(FarmConfig):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            last_time = InitSettingsSource(settings_cls, dict(remembered or {}))
            return init_settings, env_settings, InitSettingsSource(settings_cls, values), last_time

    try:
        return Layered(**given)
    except ValidationError as error:
        raise ConfigError(
            [
                f"{_place(str(each['loc'][0]) if each['loc'] else '', given, path)}: {each['msg']}"
                for each in error.errors(include_input=False, include_url=False)
            ]
        ) from None


def start_problems(config: FarmConfig) -> list[str]:
    """What `farm up` lacks; empty when it may start.

    A farm that others can reach is never open: it has tokens that its owner chose, and an object
    store that is meant to be reached.
    """
    lacking: list[str] = []
    if not is_loopback(config.host):
        why = f"needed off loopback (host is {config.host})"
        for name, what in (
            ("api_token", "an API token"),
            ("ray_token", "a Ray token"),
            ("s3_endpoint", "an S3 endpoint"),
        ):
            if not getattr(config, name):
                lacking.append(f"{what} is {why}: set {_names(name)}")
        if os.environ.get(FAILPOINTS):
            lacking.append(f"{FAILPOINTS} is set, which is for tests on loopback: unset it")
    if config.s3_endpoint:
        lacking += [
            f"the object store at {config.s3_endpoint} needs a key: set {_names(name)}"
            for name in ("s3_access_key", "s3_secret_key")
            if not getattr(config, name)
        ]
    for name in ("api_token", "ray_token"):
        token: SecretStr | None = getattr(config, name)
        if token and (len(token) < TOKEN_CHARS_MIN or not token.get_secret_value().isascii()):
            lacking.append(
                f"{name} is too weak: use at least {TOKEN_CHARS_MIN} ASCII characters, "
                "such as `openssl rand -hex 32` prints"
            )
    if (config.tls_certificate is None) != (config.tls_key is None):
        lacking.append(
            f"TLS needs a certificate and its key: set {_names('tls_certificate')}, "
            f"and {_names('tls_key')}"
        )
    if config.renderer == "helios" and config.model is None and not config.only_cpu_cards:
        lacking.append(
            f"the renderer helios needs a model: set {_names('model')}, "
            "or use the renderer testcard"
        )
    return lacking


def is_loopback(host: str) -> bool:
    """Only this machine can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _names(name: str) -> str:
    """A setting in every spelling that its user may look for; secrets are no flags."""
    has_no_flag = name.endswith(("_token", "_key", "_certificate"))
    flag = "" if has_no_flag else f"--{name.replace('_', '-')}, "
    return f"{flag}{PREFIX}{name.upper()} or {name} in {FILE_NAME}"


def _file_values(
    config_file: Path | None, given: Mapping[str, Any]
) -> tuple[Path | None, dict[str, Any]]:
    """The file that counts, and what it says."""
    named = config_file or os.environ.get(CONFIG_VARIABLE)
    if named:
        path = Path(named).expanduser()
    else:
        default = FarmConfig.model_fields["data_dir"].default
        data_dir = given.get("data_dir") or os.environ.get(f"{PREFIX}DATA_DIR") or default
        path = Path(data_dir).expanduser() / FILE_NAME
        if not path.exists():
            return None, {}
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError([f"{path}: there is no such file"]) from None
    except (OSError, ValueError) as error:
        raise ConfigError([f"{path}: cannot be read ({error})"]) from None
    known = list(FarmConfig.model_fields)
    unknown = [_unknown(path, key, known) for key in values if key not in known]
    if unknown:
        raise ConfigError(unknown)
    return path, values


def _unknown(path: Path, key: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(key, known, 1)
    hint = f"did you mean {near[0]}?" if near else f"the settings are {', '.join(known)}"
    return f"{path}: there is no setting {key!r}, {hint}"


def _place(name: str, given: Mapping[str, Any], path: Path | None) -> str:
    """Where a wrong value came from."""
    if name in given:
        return f"--{name.replace('_', '-')}"
    variable = PREFIX + name.upper()
    return variable if os.environ.get(variable) else f"{path}: {name}"
