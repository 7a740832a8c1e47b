"""This machine's node as a service of systemd: its units, its settings, its token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from heliostat.services.errors import ServiceError
from heliostat.services.files import File, below
from heliostat.services.install import Plan
from heliostat.services.logs import RAY_ROTATION, rotation
from heliostat.services.record import STATE, Record
from heliostat.services.toml import read_toml, settled, toml_lines
from heliostat.services.unit import (
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
from node_agent.cluster.ray_node import Head
from node_agent.node_file import load_node

PART: Final = "node"
COMMAND: Final = "farm-node install"
DATA: Final = STATE / "node"
NODE_FILE: Final = Path("/etc/heliostat/node.toml")
TOKEN_FILE: Final = Path("/etc/heliostat/ray-token")
NODE_UNIT: Final = "heliostat-node.service"
POWER_UNIT: Final = "heliostat-power.service"
LEAVE_SECONDS: Final = 600
"""So long cards may take to come to a chunk's end when the service stops."""

_HEADER: Final = f"""\
# What `farm-node join` needs to know of this machine; docs/cluster.md has all keys.
# After a change: systemctl restart {NODE_UNIT}

[node]
"""
_EXAMPLES: Final = """\
# model = "/srv/models/helios-distilled"
# name = "r2-s3"                 # what the farm calls this machine; else its hostname
# gpu_cards = 2                  # the first so many; else all
# lanes = 1                      # else as `farm-node bench --tune` found
# inputs = ["/mnt/plates"]
# roots = {show = "/mnt/show"}
# tags = ["quiet"]

# [card."GPU-5f1c2d7e-8a44-4e0b-9b63-2f7d1a0c9e11"]   # `farm-node inventory` lists them
# rack = "r2"
# shelf = "3"
# circuit = "B16"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeService:
    """What was asked for."""

    head: Head
    user: str
    settings: Mapping[str, Any]
    """Of [node] in the node's file."""
    token: str
    """Empty: the one that is there already."""
    power_limit_watts: float | None


def plan_of(asked: NodeService, root: Path) -> Plan:
    """What the machine is to have. Raises `ServiceError`, `NodeFileError`, OSError."""
    before = Record.load(root, PART)
    said = read_toml(below(root, NODE_FILE))
    old = load_node(below(root, NODE_FILE))
    merged = {**old, **asked.settings}
    if merged.get("renderer", "helios") == "helios" and not merged.get("model"):
        raise ServiceError(
            "helios needs a model on this machine: --model DIR; `farm-node model fetch` gets one"
        )
    new = {"spool": str(DATA / "spool"), **merged} if not said else merged
    written = (before.files if before else {}).get(str(NODE_FILE))
    node_file = settled(_node_file(new), root, old=old, new=new, written=written)
    units = [_node_unit(asked, merged)]
    if asked.power_limit_watts is not None:
        units.append(_power_unit(asked.power_limit_watts))
    files = [
        *units,
        *([node_file] if node_file else []),
        *_token_file(asked.token, root),
        rotation(PART, COMMAND, asked.user, [DATA / "ray.log"]),
    ]
    return Plan(
        part=PART,
        user=asked.user,
        files=files,
        units=[unit.path.name for unit in reversed(units)],
        data=DATA,
        kept=(NODE_FILE, TOKEN_FILE),
    )


def _token_file(token: str, root: Path) -> list[File]:
    """The Ray token as only root reads it; systemd hands it to the service."""
    if token:
        return [File(path=TOKEN_FILE, content=f"{token}\n", secret=True)]
    if not below(root, TOKEN_FILE).exists():
        raise ServiceError(
            "neither --token-file nor HELIOSTAT_RAY_TOKEN is set: a machine joins with the Ray "
            "token that the farm was started with (on the head: secrets/ray_token of its data "
            "directory, or /etc/heliostat/secrets/ray_token)"
        )
    return []


def _node_file(settings: Mapping[str, Any]) -> File:
    return File(path=NODE_FILE, content=_HEADER + toml_lines(settings) + _EXAMPLES)


def _node_unit(asked: NodeService, settings: Mapping[str, Any]) -> File:
    head = f"[{asked.head.host}]" if ":" in asked.head.host else asked.head.host
    join = (
        f"ExecStart=/usr/bin/env farm-node join {head}:{asked.head.port}",
        "--token-file ${CREDENTIALS_DIRECTORY}/ray-token",
        f"--file {NODE_FILE} --dir {DATA} --leave-seconds {LEAVE_SECONDS}",
    )
    text = unit_text(
        COMMAND,
        section(
            "Unit",
            "Description=Heliostat: this machine's cards in a farm",
            f"Wants=network-online.target {NVIDIA_LOADED}",
            f"After=network-online.target nvidia-persistenced.service {NVIDIA_LOADED} {POWER_UNIT}",
            "StartLimitIntervalSec=0",
        ),
        section(
            "Service",
            "Type=exec",
            f"User={asked.user}",
            programs(),
            f"Environment=HOME={DATA} HELIOSTAT_MODELS_DIR={DATA}/models",
            RAY_ROTATION,
            f"LoadCredential=ray-token:{TOKEN_FILE}",
            " \\\n  ".join(join),
            f"StateDirectory={STATE.name}/{PART}",
            "StateDirectoryMode=0750",
            f"WorkingDirectory={DATA}",
            "KillMode=mixed",
            f"TimeoutStopSec={LEAVE_SECONDS + 60}",
            "Restart=on-failure",
            "RestartSec=15",
            "OOMPolicy=continue",
            "LimitNOFILE=65536",
            "LimitMEMLOCK=infinity",
            "TasksMax=32768",
            *SANDBOX,
            *UNPRIVILEGED,
            *NVIDIA,
            *mounts([*environment_paths(), *_read(settings)]),
        ),
        section("Install", "WantedBy=multi-user.target"),
    )
    return File(path=UNITS / NODE_UNIT, content=text)


def _read(settings: Mapping[str, Any]) -> Sequence[Path]:
    """Directories of the machine that its cards read."""
    single = [settings[key] for key in ("model", "loras") if settings.get(key)]
    roots = settings.get("roots", {}).values()
    return [Path(each) for each in (*single, *settings.get("inputs", ()), *roots)]


def _power_unit(watts: float) -> File:
    text = unit_text(
        f"{COMMAND} --power-limit",
        section(
            "Unit",
            "Description=Heliostat: power limits of this machine's cards",
            f"Wants={NVIDIA_LOADED}",
            f"After=nvidia-persistenced.service {NVIDIA_LOADED}",
            f"Before={NODE_UNIT}",
        ),
        section(
            "Service",
            "Type=oneshot",
            "RemainAfterExit=yes",
            programs(),
            f"ExecStart=/usr/bin/env farm-node power-limit --watts {watts:g}",
            "ExecStop=/usr/bin/env farm-node power-limit --reset",
            *SANDBOX,
            "CapabilityBoundingSet=CAP_SYS_ADMIN",
            "RestrictAddressFamilies=AF_UNIX",
            "PrivateNetwork=yes",
            "IPAddressDeny=any",
            *NVIDIA,
            *mounts(environment_paths()),
        ),
        section("Install", "WantedBy=multi-user.target"),
    )
    return File(path=UNITS / POWER_UNIT, content=text)
