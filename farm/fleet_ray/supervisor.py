"""Keeps a farm's head running: the embedded object store and Ray, until it is told to stop.

    python -m farm.fleet_ray.supervisor DATA_DIR

Ray keeps the farm's own processes running; this keeps Ray running. What it starts carries the
farm's marker, so that nothing outlives it unseen.
"""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import IO

from farm.fleet_ray.processes import Watched, end_group, sweep
from farm.fleet_ray.ray_head import environment
from farm.fleet_ray.settings import IN_FOREGROUND, MARKER_VARIABLE, HeadSettings, Secrets
from farm.fleet_ray.state import FarmState, write_state
from farm.objects.embedded import EmbeddedSettings, EmbeddedStore
from heliostat.logs.setup import configure

logger = logging.getLogger("farm.supervisor")

RESTART_SECONDS = 1.0
RAY_PARTS = ("gcs_server", "raylet")
"""Children of `ray start` without which there is no Ray."""
TRIES_MAX = 3
"""Starts of a Ray that ends before it has served: a machine that is just booting is busy."""
ALREADY_RUNNING = 75


class Supervisor:
    """One farm's head."""

    def __init__(self, settings: HeadSettings) -> None:
        self._settings = settings
        self._stop = threading.Event()
        self._served = False
        self._refused = False
        """The farm's own processes could not start: trying again would not help."""

    def run(self) -> bool:
        """Start everything, start again what ends, stop everything when told to.

        False when the farm could not be started.
        """
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop.set())
        self._say("clearing up")
        sweep(self._settings.marker)
        store = self._start_store()
        try:
            tries = 0
            while not self._stop.is_set():
                self._run_ray()
                tries += 1
                if not self._served and (self._refused or tries == TRIES_MAX):
                    logger.error("the farm did not start")
                    break
                self._stop.wait(RESTART_SECONDS)
        finally:
            if store is not None:
                store.stop()
            sweep(self._settings.marker)
            self._keep_logs()
            self._settings.state_path.unlink(missing_ok=True)
        return self._stop.is_set()

    def _keep_logs(self) -> None:
        """Move what Ray's processes wrote to the farm's own logs, and leave nothing elsewhere."""
        session = self._settings.ray_directory / "session_latest" / "logs"
        kept = self._settings.logs / "ray"
        shutil.rmtree(kept, ignore_errors=True)
        with contextlib.suppress(OSError):
            shutil.copytree(session, kept)
        shutil.rmtree(self._settings.ray_directory, ignore_errors=True)

    def _start_store(self) -> EmbeddedStore | None:
        if not self._settings.embedded_store:
            return None
        self._say("starting the object store")
        keys = Secrets.load(self._settings)
        store = EmbeddedStore(
            EmbeddedSettings(
                data_dir=self._settings.data_dir / "objects",
                port=self._settings.port_of("s3"),
                access_key=keys.s3_access_key,
                secret_key=keys.s3_secret_key,
            )
        )
        store.start()
        store.wait_ready()
        return store

    def _run_ray(self) -> None:
        """Start Ray and the farm on it; return when Ray has ended or the farm is to stop."""
        self._say("starting ray")
        with self._log("ray.log") as log:
            process = self._start("farm.fleet_ray.ray_head", log)
            ray = Watched(process, RAY_PARTS)
            try:
                if self._launch(ray):
                    self._served = True
                    self._say("serving", serving=True)
                    while ray.is_whole() and not self._stop.wait(0.2):
                        pass
                    if not self._stop.is_set():
                        logger.error("ray, or a part of it, has died; starting it again")
            finally:
                if ray.is_whole():  # else there is nothing to be polite to
                    end_group(process)
                sweep(self._settings.marker, keep="farm.objects.embedded")
                process.wait()

    def _launch(self, ray: Watched) -> bool:
        """Start the farm's processes. False when Ray ended, or the farm is to stop."""
        self._say("starting coordinator and gateway")
        with self._log("launch.log") as log:
            launch = self._start("farm.fleet_ray.launch", log)
        try:
            while launch.poll() is None:
                if not ray.is_whole() or self._stop.wait(0.1):
                    return False
        finally:
            end_group(launch)
        if launch.returncode != 0:
            self._refused = True
            logger.error("the farm's processes did not start; see launch.log")
            return False
        return True

    def _start(self, module: str, log: IO[bytes]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", module, str(self._settings.data_dir)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={
                **os.environ,
                **environment(self._settings),
                MARKER_VARIABLE: self._settings.marker,
            },
            process_group=0,
        )

    def _log(self, name: str) -> IO[bytes]:
        return (self._settings.logs / name).open("ab")

    def _say(self, stage: str, *, serving: bool = False) -> None:
        logger.info("%s", stage)
        write_state(self._settings, FarmState.of(self._settings, stage, serving=serving))


def main() -> None:
    """Run a farm's head in the foreground; a second one for the same farm leaves at once."""
    settings = HeadSettings.load(Path(sys.argv[1]))
    file = None if IN_FOREGROUND in sys.argv[2:] else settings.log_file("supervisor")
    configure("supervisor", file=file, level=settings.log_level)
    os.environ[MARKER_VARIABLE] = settings.marker
    settings.logs.mkdir(parents=True, exist_ok=True)
    lock = (settings.data_dir / "head.lock").open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        logger.error("this farm's head is running already")
        sys.exit(ALREADY_RUNNING)
    try:
        served = Supervisor(settings).run()
    except Exception:
        logger.exception("the supervisor broke")
        raise
    if not served:
        sys.exit(1)


if __name__ == "__main__":
    main()
