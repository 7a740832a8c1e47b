"""A Ray node that joins a farm's cluster: where the head is, and how `ray start` is called."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from node_agent.cluster.errors import JoinError
from node_agent.cluster.settings import NODE_VARIABLE, NodeSettings

FARM_PORT: Final = 8460
"""The first of a farm's ports, unless its owner said otherwise."""
RAY_PORT_OFFSET: Final = 6
"""Ray's port comes so many after it."""

OBJECT_STORE_BYTES: Final = 100 << 20
"""Nothing of ours lives in Ray's object store; this is about the least that it takes."""

ENVIRONMENT: Final = {
    "RAY_AUTH_MODE": "token",
    "RAY_USAGE_STATS_ENABLED": "0",
    # A machine that renders is nearly full by design; only the last 2% are an emergency.
    "RAY_memory_usage_threshold": "0.98",
    "RAY_DEDUP_LOGS": "0",
    # So long cards go on without a head that comes back with its Ray's state.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "300",
    # What a stop interrupts goes on from its checkpoint: there is nothing to wait for.
    "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
    "PYTHONUNBUFFERED": "1",
}
"""What Ray's processes on a node have in their environment; the head's have the same, and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardFacts:
    """A card, as far as labels tell."""

    card_type: str
    """`rtx-4060-ti`, or `cpu`."""
    vram_bytes: int = 0
    tags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Head:
    """Where a farm's head is."""

    host: str
    port: int
    """The first of the farm's ports."""

    @classmethod
    def parse(cls, text: str) -> Head:
        """`HOST` or `HOST:PORT`; an IPv6 address stands in brackets. Raises `JoinError`."""
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]\s/]+)(?::([0-9]{1,5}))?", text)
        if found is None:
            raise JoinError(f"{text!r} is no address; write HOST or HOST:PORT, as farm up says it")
        port = int(found[2] or FARM_PORT)
        if not 0 < port < 65536 - RAY_PORT_OFFSET:
            raise JoinError(f"{text}: there is no port {port}; `farm up` says the farm's")
        return cls(found[1].strip("[]"), port)

    @property
    def ray_port(self) -> int:
        """Where Ray's head listens."""
        return self.port + RAY_PORT_OFFSET

    @property
    def ray_address(self) -> str:
        """Ray's head, as Ray writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.ray_port}"

    def own_address(self, seconds: float = 3.0) -> str:
        """The address of this machine by which the head sees it. Raises OSError."""
        with socket.create_connection((self.host, self.ray_port), seconds) as reached:
            return str(reached.getsockname()[0])


def environment(settings: NodeSettings, token: str) -> dict[str, str]:
    """What this node's Ray, and with it its agents, have in their environment."""
    own = {"RAY_AUTH_TOKEN": token, NODE_VARIABLE: str(settings.path)}
    return {**ENVIRONMENT, **settings.environment, **own}


def command(
    head: Head,
    *,
    address: str,
    name: str,
    directory: Path,
    cards: Sequence[CardFacts],
    ram_bytes: int,
) -> list[str]:
    """`ray start` in the foreground; `address` is this machine's, `directory` Ray's sessions'."""
    labels = ",".join(f"{key}={value}" for key, value in labels_of(name, cards, ram_bytes).items())
    return [
        *(sys.executable, "-P", "-m", "ray.scripts.scripts"),
        *("start", "--block", "--disable-usage-stats"),
        f"--address={head.ray_address}",
        f"--node-ip-address={address}",
        f"--temp-dir={directory}",
        "--dashboard-agent-listen-port=0",
        "--min-worker-port=0",
        "--max-worker-port=0",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        "--num-cpus=0",
        "--num-gpus=0",
        "--include-log-monitor=false",
        f"--resources={json.dumps(resources_of(cards))}",
        f"--labels={labels}",
    ]


def resources_of(cards: Sequence[CardFacts]) -> dict[str, int]:
    """`card` counts all of them, `card:TYPE` those of a type: what an autoscaler is asked for."""
    types = Counter(card.card_type for card in cards)
    return {"card": len(cards), **{f"card:{kind}": count for kind, count in types.items()}}


def labels_of(name: str, cards: Sequence[CardFacts], ram_bytes: int) -> Mapping[str, str]:
    """What Ray tells of the node: its name, cards, memory in GB, and a label for each tag."""
    types = {card.card_type for card in cards}
    labels = {
        "heliostat/name": name,
        "heliostat/card-type": label_word(types.pop()) if len(types) == 1 else "mixed",
        "heliostat/ram-gb": str(round(ram_bytes / 1e9)),
    }
    if vram := min((card.vram_bytes for card in cards), default=0):
        labels["heliostat/vram-gb"] = str(round(vram / 1e9))
    for tag in sorted({tag for card in cards for tag in card.tags}):
        if word := label_word(tag):
            labels[f"heliostat/tag.{word}"] = "yes"
    return labels


def label_word(text: str) -> str:
    """Text as a label may have it: 50 letters, digits, dots, dashes and underscores at most."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:50].strip("._-")
