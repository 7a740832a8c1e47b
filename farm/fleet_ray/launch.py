"""Starts the farm's detached processes on a running Ray head, and waits until they serve.

A short-lived process of its own: whoever stays connected to Ray dies with Ray, and the supervisor
must not.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import ActorUnavailableError, RayError

from farm.fleet_ray.coordinator_actor import CoordinatorActor
from farm.fleet_ray.gateway_actor import GatewayActor
from farm.fleet_ray.names import COORDINATOR, GATEWAY, NAMESPACE
from farm.fleet_ray.ray_head import environment
from farm.fleet_ray.settings import HeadSettings
from node_agent.links.ray import NodeSettings

CONNECT_SECONDS = 60.0
SERVE_SECONDS = 120.0


def launch(settings: HeadSettings) -> None:
    """Start coordinator and gateway, and wait for them. Raises RayError."""
    os.environ.update(environment(settings))
    os.chdir(settings.data_dir)  # Ray's processes find modules where this one runs, too
    node_settings(settings).save()
    _connect(settings)
    kept = {"lifetime": "detached", "max_restarts": -1, "num_cpus": 0, "get_if_exists": True}
    data_dir = str(settings.data_dir)
    coordinator: Any = (
        ray.remote(CoordinatorActor)
        .options(name=COORDINATOR, resources={"coordinator": 1}, max_concurrency=1000, **kept)
        .remote(data_dir)
    )
    gateway: Any = (
        ray.remote(GatewayActor)
        .options(name=GATEWAY, resources={"gateway": 1}, max_concurrency=10_000, **kept)
        .remote(data_dir)
    )
    deadline = time.monotonic() + SERVE_SECONDS
    for serves in (coordinator.fleet, gateway.serving):
        while True:
            try:
                ray.get(serves.remote(), timeout=max(1.0, deadline - time.monotonic()))
            except ActorUnavailableError:  # it is being restarted
                time.sleep(0.2)
            else:
                break


def node_settings(settings: HeadSettings) -> NodeSettings:
    """What the cards of the head's own machine render with."""
    return NodeSettings(
        directory=settings.data_dir / "node",
        spool=settings.data_dir / "spool",
        stamps=settings.data_dir / "models" / "verified.json",
        cpu_cards=settings.cpu_cards,
        renderer=settings.renderer,
        model=settings.model,
        seconds_per_chunk=settings.seconds_per_chunk,
        lanes=settings.lanes,
        profile=settings.profile or None,
        loras=settings.loras,
        inputs=settings.input_directories,
        roots=settings.roots_here,
    )


def _connect(settings: HeadSettings) -> None:
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            ray.init(
                address=settings.ray_address,
                namespace=NAMESPACE,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
        except (ConnectionError, RuntimeError, RayError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
        else:
            return


def main() -> None:
    """Launch the farm whose data directory is the first argument; its last line says why not."""
    try:
        launch(HeadSettings.load(Path(sys.argv[1])))
    except RayError as error:
        sys.exit(f"{error}".strip().splitlines()[-1])


if __name__ == "__main__":
    main()
