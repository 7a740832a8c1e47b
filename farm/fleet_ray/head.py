"""`farm up` and `farm down`: start a farm's head, and end it without a trace."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import psutil

from farm.domain.errors import FarmError
from farm.fleet_ray import ledger
from farm.fleet_ray.model_shape import model_shape
from farm.fleet_ray.processes import sweep
from farm.fleet_ray.settings import IN_FOREGROUND, MARKER_VARIABLE, PORTS, HeadSettings
from farm.fleet_ray.state import FarmState, read_state
from farm.fleet_ray.tls import ensure_certificate, own_addresses
from heliostat.logs.reading import fields_of

UP_SECONDS = 180.0
DOWN_SECONDS = 30.0
REDIS_SECONDS = 5.0
HEAD_LOG, HEAD_OUTPUT = "supervisor.jsonl", "supervisor.log"
"""What the supervisor logs, and what else comes out of it."""
LOG_OF_STAGE = {"starting ray": "ray.log", "starting coordinator and gateway": "launch.log"}


class HeadError(FarmError):
    """The farm's head could not be started; the text says why and what helps."""

    reason = "HEAD_NOT_STARTED"


def up(settings: HeadSettings, on_stage: Callable[[str], None] = lambda _stage: None) -> FarmState:
    """Start a farm and wait until it serves; one that is running is left as it is.

    Secrets must be there (`ensure_secrets`). Raises `HeadError`.
    """
    running = read_state(settings)
    if running is not None and running.serving:
        return running
    if running is None:
        _start_supervisor(_prepared(settings))
    return _wait_until_serving(settings, on_stage)


def become(settings: HeadSettings) -> NoReturn:
    """This process becomes the farm's head, for whoever starts and ends services.

    Secrets must be there (`ensure_secrets`). Raises `HeadError`, also where the farm is running.
    """
    if (running := read_state(settings)) is not None:
        raise HeadError(f"this farm runs already, as process {running.pid}: farm down ends it")
    command = [*_supervisor(_prepared(settings)), IN_FOREGROUND]
    marked = {**os.environ, MARKER_VARIABLE: settings.marker}
    os.execve(command[0], command, marked)  # noqa: S606 - no shell is wanted


def _prepared(settings: HeadSettings) -> HeadSettings:
    """The settings as a supervisor reads them, once nothing is in its way. Raises `HeadError`."""
    _check_model(settings)
    _check_redis(settings)
    ledger.check(settings)
    sweep(settings.marker)  # what a killed supervisor left behind holds our ports
    _check_ports(settings)
    settings.logs.mkdir(parents=True, exist_ok=True)
    settings = with_certificate(settings)
    settings.save()
    return settings


def with_certificate(settings: HeadSettings) -> HeadSettings:
    """Settings of a farm that speaks TLS wherever it can be reached from other machines."""
    if settings.on_loopback or settings.tls_certificate is not None:
        return settings
    certificate, key = settings.data_dir / "gateway.pem", settings.secret("gateway_key.pem")
    ensure_certificate(certificate, key, [settings.host, settings.ray_host, *own_addresses()])
    return replace(settings, tls_certificate=certificate, tls_key=key)


def down(settings: HeadSettings) -> bool:
    """Stop a farm; its batches go on when it is started again. False when none was running."""
    state = read_state(settings)
    if state is not None:
        with contextlib.suppress(psutil.Error):
            supervisor = psutil.Process(state.pid)
            supervisor.send_signal(signal.SIGTERM)
            with contextlib.suppress(psutil.TimeoutExpired):
                supervisor.wait(DOWN_SECONDS)
    swept = sweep(settings.marker)
    settings.state_path.unlink(missing_ok=True)
    return state is not None or swept > 0


def _start_supervisor(settings: HeadSettings) -> None:
    with (settings.logs / HEAD_OUTPUT).open("ab") as log:
        subprocess.Popen(
            _supervisor(settings),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={**os.environ, MARKER_VARIABLE: settings.marker},
            start_new_session=True,  # a terminal's Ctrl-C is not for the farm
        )


def _supervisor(settings: HeadSettings) -> list[str]:
    return [sys.executable, "-P", "-m", "farm.fleet_ray.supervisor", str(settings.data_dir)]


def _wait_until_serving(settings: HeadSettings, on_stage: Callable[[str], None]) -> FarmState:
    deadline = time.monotonic() + UP_SECONDS
    stage, seen = "", False
    while time.monotonic() < deadline:
        state = read_state(settings)
        if state is not None:
            seen = True
            if state.stage != stage:
                stage = state.stage
                on_stage(stage)
            if state.serving:
                return state
        elif seen:
            break
        time.sleep(0.1)
    log = settings.logs / LOG_OF_STAGE.get(stage, HEAD_LOG)
    raise HeadError(f"the farm did not start ({stage or 'no sign of life'}); {_last_words(log)}")


def _last_words(log: Path) -> str:
    with contextlib.suppress(OSError):
        lines = log.read_text(errors="replace").strip().splitlines()
        if lines:
            return f"the last line of {log}: {fields_of(lines[-1])['event']}"
    return f"see {log}"


def _check_model(settings: HeadSettings) -> None:
    """The model must be a prepared directory. Raises `HeadError`."""
    if settings.renderer != "helios":
        return
    try:
        model_shape(settings.model)
    except (OSError, KeyError, ValueError) as error:
        raise HeadError(
            f"{settings.model} is not a prepared model directory ({error}): "
            "`farm-node model tiny DIR` builds a small one, `farm-node model verify DIR` checks it"
        ) from error


def _check_redis(settings: HeadSettings) -> None:
    """Something must listen where Ray is to keep its state. Raises `HeadError`."""
    if not settings.redis:
        return
    host, _, port = settings.redis.rpartition("//")[2].rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), REDIS_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise HeadError(
            f"no Redis answers at {settings.redis} ({error}): start it, or go on without by "
            '--redis ""'
        ) from error


def _check_ports(settings: HeadSettings) -> None:
    """Every port must be free. Raises `HeadError` naming those that are not."""
    taken = [f"{settings.port_of(name)} ({name})" for name in PORTS if not _is_free(settings, name)]
    if taken:
        raise HeadError(
            f"in use by another program: port {', '.join(taken)}; give another base with --port "
            f"(a farm takes {len(PORTS)} ports from there), or stop the other farm"
        )


def _is_free(settings: HeadSettings, name: str) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port_of(name)))
        except OSError:
            return False
    return True
