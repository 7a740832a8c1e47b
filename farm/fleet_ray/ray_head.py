"""Ray's head in the foreground: `ray start --head --block`, without the Ray Client's port.

Wherever Ray's client packages are there, `ray start` opens port 10001 to whoever can reach it and
has no flag against it; telling it that they are not there is the one way to leave it out.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Final

from farm.fleet_ray.settings import HeadSettings, Secrets
from heliostat.logs.settings import ENDPOINT_VARIABLE, LEVEL_VARIABLE

NODE_VARIABLE: Final = "HELIOSTAT_NODE"
"""Names the file of a node's settings; its agents read it (`node_agent.cluster.settings`)."""
OBJECT_STORE_BYTES: Final = 100 << 20
"""Nothing of ours lives in Ray's object store; this is about the least that it takes."""

HEALTH: Final = {
    "RAY_health_check_initial_delay_ms": "5000",
    "RAY_health_check_period_ms": "1000",
    "RAY_health_check_timeout_ms": "4000",
    "RAY_health_check_failure_threshold": "3",
}
"""When Ray holds a node for dead. One whose Ray has ended refuses the connection: 3 checks, 3 s.
One that is silent (its link, or stopped): 3 checks of 4 s and the pauses between them, 15 s; a
desktop that swaps or stutters answers within that. The lease, which ends without Ray, has 45 s."""

HEAD_AWAY_SECONDS: Final = 300
"""So long nodes go on without a head that comes back with its Ray's state (`--redis`)."""


def environment(settings: HeadSettings) -> dict[str, str]:
    """What Ray's processes, and ours that speak with them, have in their environment."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(settings.secret("ray_token")),
        "RAY_USAGE_STATS_ENABLED": "0",
        # A machine that renders is nearly full by design; only the last 2% are an emergency.
        "RAY_memory_usage_threshold": "0.98",
        "RAY_DEDUP_LOGS": "0",
        "RAY_gcs_rpc_server_reconnect_timeout_s": str(HEAD_AWAY_SECONDS),
        **HEALTH,
        # What a stop interrupts goes on from its checkpoint: there is nothing to wait for.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "PYTHONUNBUFFERED": "1",
        NODE_VARIABLE: str(settings.data_dir / "node" / "node.json"),
        LEVEL_VARIABLE: settings.log_level,
        **({ENDPOINT_VARIABLE: settings.traces_endpoint} if settings.traces_endpoint else {}),
    }


def redis_environment(settings: HeadSettings) -> dict[str, str]:
    """What Ray's head alone needs to keep its state in Redis, apart from other farms' there."""
    if not settings.redis:
        return {}
    return {
        "RAY_REDIS_ADDRESS": settings.redis,
        "RAY_external_storage_namespace": f"heliostat-{settings.marker}",
    }


def arguments(settings: HeadSettings, redis_password: str = "") -> list[str]:
    """Arguments of `ray start`."""
    cards = settings.cpu_cards + settings.gpu_cards
    resources = {"coordinator": 1, "gateway": 1, "card": cards}
    port = settings.port_of
    return [
        *("start", "--head", "--block", "--disable-usage-stats"),
        f"--node-ip-address={settings.ray_host}",
        f"--port={port('ray-gcs')}",
        f"--temp-dir={settings.ray_directory}",
        f"--include-dashboard={'true' if settings.ray_dashboard else 'false'}",
        "--dashboard-host=127.0.0.1",
        f"--dashboard-port={port('ray-dashboard')}",
        f"--dashboard-agent-listen-port={port('ray-agent')}",
        f"--dashboard-agent-grpc-port={port('ray-agent-grpc')}",
        f"--runtime-env-agent-port={port('ray-runtime-env')}",
        f"--node-manager-port={port('ray-node-manager')}",
        f"--object-manager-port={port('ray-object-manager')}",
        f"--metrics-export-port={port('ray-metrics')}",
        "--min-worker-port=0",
        "--max-worker-port=0",
        f"--object-store-memory={OBJECT_STORE_BYTES}",
        "--num-cpus=0",
        "--num-gpus=0",
        "--no-monitor",
        "--include-log-monitor=false",
        f"--resources={json.dumps(resources)}",
        *([f"--redis-password={redis_password}"] if redis_password and settings.redis else ()),
    ]


def main() -> None:
    """Run `ray start` for the farm whose data directory is the first argument."""
    settings = HeadSettings.load(Path(sys.argv[1]))
    os.environ.update({**environment(settings), **redis_environment(settings)})
    password = Secrets.load(settings).redis_password
    from ray.scripts import scripts

    without_client = ImportError("Ray Client is left out on purpose")
    scripts.get_ray_client_dependency_error = lambda: without_client  # type: ignore[attr-defined]
    sys.argv = ["ray", *arguments(settings, password)]
    scripts.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
