"""A farm's head as a service of systemd: its unit, its settings, its secrets."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from heliostat.services.files import File, below
from heliostat.services.install import Plan
from heliostat.services.logs import RAY_ROTATION, rotation
from heliostat.services.record import STATE, Record
from heliostat.services.toml import read_toml, settled, toml_lines
from heliostat.services.unit import (
    NO_DEVICES,
    NVIDIA,
    NVIDIA_LOADED,
    SANDBOX,
    UNITS,
    UNPRIVILEGED,
    environment_paths,
    mounts,
    programs,
    section,
    unit_text,
)

if TYPE_CHECKING:
    from farm.config import FarmConfig

PART: Final = "head"
COMMAND: Final = "farm install"
DATA: Final = STATE / "head"
CONFIG_FILE: Final = Path("/etc/heliostat/heliostat.toml")
SECRETS_DIRECTORY: Final = Path("/etc/heliostat/secrets")
HEAD_UNIT: Final = "heliostat-head.service"

MADE: Final = ("api_token", "ray_token")
"""Secrets that a farm needs and that nobody else has to know of before."""
_OF_CLIENTS: Final = frozenset({"endpoint", "ca", "project", "reviewer"})
_HEADER: Final = f"""\
# Settings of this farm; docs/configuration.md has all of them. Secrets are in {SECRETS_DIRECTORY}.
# After a change: systemctl restart {HEAD_UNIT}

"""


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadService:
    """What was asked for."""

    user: str
    flags: Mapping[str, Any]
    """As those of `farm up`; None is not said."""
    config: Path | None
    """Settings to begin with; None: those of an earlier installation, if there was one."""


def plan_of(asked: HeadService, root: Path) -> Plan:
    """What the machine is to have. Raises `ConfigError`, `ServiceError`, OSError."""
    from farm.config import SECRET_SETTINGS

    before = Record.load(root, PART)
    there = below(root, CONFIG_FILE)
    old = read_toml(there)
    flags = {"data_dir": Path(old.get("data_dir", DATA)), **_given(asked.flags)}
    found = _settings(asked.config or (there if old else None), flags, root)
    said = found.model_fields_set - set(SECRET_SETTINGS) - _OF_CLIENTS
    dumped = found.model_dump(mode="json", include=said, exclude_none=True)
    new = {name: dumped[name] for name in type(found).model_fields if name in dumped}
    config = settled(
        File(path=CONFIG_FILE, content=_HEADER + toml_lines(new)),
        root,
        old={name: value for name, value in old.items() if name not in SECRET_SETTINGS},
        new=new,
        written=(before.files if before else {}).get(str(CONFIG_FILE)),
    )
    handed = [
        File(path=SECRETS_DIRECTORY / name, content=f"{secret.get_secret_value()}\n", secret=True)
        for name in SECRET_SETTINGS
        if (secret := getattr(found, name))
    ]
    return Plan(
        part=PART,
        user=asked.user,
        files=[
            _unit(asked.user, found, [file.path for file in handed]),
            *([config] if config else []),
            *handed,
            rotation(
                PART, COMMAND, asked.user, [found.data_dir / "logs" / f for f in _GROWING_LOGS]
            ),
        ],
        units=[HEAD_UNIT],
        data=found.data_dir,
        kept=(CONFIG_FILE,),
    )


_GROWING_LOGS: Final = ("ray.log", "launch.log")


def _given(flags: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in flags.items() if value is not None}


def _settings(config: Path | None, flags: Mapping[str, Any], root: Path) -> FarmConfig:
    """All layers, with secrets as an earlier installation had them; those that lack are made.

    Raises `ConfigError` where no farm could start with them.
    """
    from farm.config import SECRET_SETTINGS, ConfigError, load, start_problems

    kept = {
        name: file.read_text(encoding="utf-8").strip()
        for name in SECRET_SETTINGS
        if (file := below(root, SECRETS_DIRECTORY / name)).exists()
        and not os.environ.get(f"HELIOSTAT_{name.upper()}")
    }
    found = load(config, {**kept, **flags})
    made = {name: secrets.token_hex(32) for name in MADE if not getattr(found, name)}
    if made:
        found = load(config, {**made, **kept, **flags})
    if problems := start_problems(found):
        raise ConfigError(problems)
    return found


def _unit(user: str, found: FarmConfig, handed: list[Path]) -> File:
    loaded = f" {NVIDIA_LOADED}" if found.gpu_cards else ""
    data = found.data_dir
    reads = (found.model, found.loras, found.tls_certificate, found.tls_key, *found.inputs)
    own = data == DATA
    text = unit_text(
        COMMAND,
        section(
            "Unit",
            "Description=Heliostat: a farm's head",
            f"Wants=network-online.target{loaded}",
            f"After=network-online.target postgresql.service redis-server.service{loaded}",
            "StartLimitIntervalSec=0",
        ),
        section(
            "Service",
            "Type=exec",
            f"User={user}",
            programs(),
            f"Environment=HOME={data}",
            RAY_ROTATION,
            *(f"LoadCredential={path.name}:{path}" for path in handed),
            f"ExecStart=/usr/bin/env farm up --foreground --config {CONFIG_FILE}",
            *((f"StateDirectory={STATE.name}/{PART}", "StateDirectoryMode=0750") if own else ()),
            f"WorkingDirectory={data}",
            "KillMode=mixed",
            "TimeoutStopSec=120",
            "Restart=on-failure",
            "RestartSec=15",
            "OOMPolicy=continue",
            "LimitNOFILE=65536",
            *(("LimitMEMLOCK=infinity",) if found.gpu_cards else ()),
            "TasksMax=32768",
            *SANDBOX,
            *UNPRIVILEGED,
            *(NVIDIA if found.gpu_cards else NO_DEVICES),
            *mounts(
                [*environment_paths(), *(path for path in reads if path)],
                [*(() if own else (data,)), *found.deliveries],
            ),
        ),
        section("Install", "WantedBy=multi-user.target"),
    )
    return File(path=UNITS / HEAD_UNIT, content=text)
