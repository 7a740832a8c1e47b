"""Ray's head in the foreground: `ray start --head --block`, without the Ray Client's port.

Wherever Ray's client packages are there, `ray start` opens port 10001 to whoever can reach it and
has no flag against it; telling it that they are not there is the one way to leave it out.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from farm.fleet_ray.settings import HeadSettings

OBJECT_STORE_BYTES = 100 << 20
"""Nothing of ours lives in Ray's object store; this is about the least that it takes."""


def environment(settings: HeadSettings) -> dict[str, str]:
    """What Ray's processes, and ours that speak with them, have in their environment."""
    return {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN_PATH": str(settings.secret("ray_token")),
        "RAY_USAGE_STATS_ENABLED": "0",
        # A machine that renders is nearly full by design; only the last 2% are an emergency.
        "RAY_memory_usage_threshold": "0.98",
        "RAY_DEDUP_LOGS": "0",
        # What a stop interrupts goes on from its checkpoint: there is nothing to wait for.
        "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S": "0",
        "PYTHONUNBUFFERED": "1",
    }


def arguments(settings: HeadSettings) -> list[str]:
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
    ]


def main() -> None:
    """Run `ray start` for the farm whose data directory is the first argument."""
    settings = HeadSettings.load(Path(sys.argv[1]))
    os.environ.update(environment(settings))
    from ray.scripts import scripts

    without_client = ImportError("Ray Client is left out on purpose")
    scripts.get_ray_client_dependency_error = lambda: without_client  # type: ignore[attr-defined]
    sys.argv = ["ray", *arguments(settings)]
    scripts.main()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main()
