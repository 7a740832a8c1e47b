"""The embedded S3 server: OpenStack Swift on loopback, for a desk without an object store.

Real SigV4, checksums refused when wrong, objects synced to disk before they are acknowledged.
`EmbeddedStore` runs it for a program; `python -m farm.objects.embedded` in the foreground.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import urllib3
from urllib3.exceptions import HTTPError

from farm.objects.swift_config import ROLES, EmbeddedSettings, generate_keys, port_of
from farm.objects.swift_processes import EmbeddedServerError, Supervisor

__all__ = ["EmbeddedServerError", "EmbeddedSettings", "EmbeddedStore", "generate_keys", "main"]

ACCESS_KEY_ENV: Final = "HELIOSTAT_EMBEDDED_ACCESS_KEY"
SECRET_KEY_ENV: Final = "HELIOSTAT_EMBEDDED_SECRET_KEY"  # noqa: S105 - the variable's name

_STOP_SECONDS: Final = 10.0
_QUICK_ENDS_MAX: Final = 5
_QUICK_SECONDS: Final = 10.0
_LOG_BYTES_MAX: Final = 1 << 20


class EmbeddedStore:
    """The embedded server as a child of this process: it ends when this process does.

    A killed supervisor takes its servers with it and is started again, on the same data.
    """

    def __init__(self, settings: EmbeddedSettings) -> None:
        self.settings = settings
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: threading.Thread | None = None
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    @property
    def supervisor_pid(self) -> int:
        """The process that started the servers."""
        if self._process is None:
            raise EmbeddedServerError("the embedded object store was not started")
        return self._process.pid

    def start(self) -> None:
        """Start it; `wait_ready` tells when it answers."""
        if self._process is not None:
            raise EmbeddedServerError("the embedded object store was started before")
        self.settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._stopping.clear()
        self._process = self._spawn()
        self._keeper = threading.Thread(
            target=self._keep, name="embedded-object-store", daemon=True
        )
        self._keeper.start()

    def wait_ready(self, timeout: float = 60.0) -> None:
        """Return once S3 answers. Raises `EmbeddedServerError` with what the server said."""
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if not self.is_kept:
                raise EmbeddedServerError(f"the embedded object store ended: {self._last_words()}")
            if time.monotonic() > deadline:
                raise EmbeddedServerError(
                    f"the embedded object store is not ready after {timeout:g} s: "
                    f"{self._last_words()}"
                )
            self._stopping.wait(0.05)

    @property
    def is_kept(self) -> bool:
        """Whether it is still started again when it ends: False after `stop`, or when it gave up
        because it cannot run (its log says why)."""
        return self._keeper is not None and self._keeper.is_alive()

    def is_ready(self) -> bool:
        """Whether all four servers answer."""
        with urllib3.PoolManager(retries=False, timeout=2.0) as pool:
            for role in ROLES:
                # Only the proxy knows /healthcheck; any answer of the others will do.
                port = port_of(self.settings, role)
                try:
                    answer = pool.request("GET", f"http://127.0.0.1:{port}/healthcheck")
                except HTTPError:
                    return False
                if role == "proxy" and answer.status != 200:
                    return False
        return True

    def stop(self) -> None:
        """Stop it and wait until all its processes are gone. A second time does nothing."""
        self._stopping.set()
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()  # the servers die with it
            process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if self._keeper is not None:
            self._keeper.join()
            self._keeper = None

    def __enter__(self) -> Self:
        self.start()
        try:
            self.wait_ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _spawn(self) -> subprocess.Popen[bytes]:
        log_path = self._log_path()
        if log_path.exists() and log_path.stat().st_size > _LOG_BYTES_MAX:
            log_path.unlink()
        environment = os.environ | {
            ACCESS_KEY_ENV: self.settings.access_key,
            SECRET_KEY_ENV: self.settings.secret_key,
        }
        with log_path.open("ab") as log:
            return subprocess.Popen(
                [
                    *(sys.executable, "-m", "farm.objects.embedded"),
                    *("--data", str(self.settings.data_dir)),
                    *("--port", str(self.settings.port), "--end-with-stdin"),
                ],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is the owner's business
            )

    def _keep(self) -> None:
        """Start the supervisor again when it ends unasked; give up when it cannot live."""
        quick_ends = 0
        while True:
            process, started_at = self._process, time.monotonic()
            if process is None:
                return
            code = process.wait()
            with self._lock:
                if self._stopping.is_set() or self._process is None:
                    return
                lived = time.monotonic() - started_at
                quick_ends = quick_ends + 1 if lived < _QUICK_SECONDS else 0
                # An exit code of its own means that it said why; another try would say it again.
                # One that is killed over and over is kept all the same, only more slowly.
                if code > 0:
                    return
                if quick_ends > _QUICK_ENDS_MAX and self._stopping.wait(_QUICK_SECONDS / 10):
                    return
                if process.stdin is not None:
                    process.stdin.close()
                self._process = self._spawn()

    def _log_path(self) -> Path:
        return self.settings.data_dir / "supervisor.log"

    def _last_words(self) -> str:
        try:
            lines = self._log_path().read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1] if lines else "it said nothing"


def main(arguments: list[str] | None = None) -> int:
    """Run the embedded server in the foreground until SIGTERM. Returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m farm.objects.embedded",
        description="An S3 server on loopback. Its keys are read from "
        f"{ACCESS_KEY_ENV} and {SECRET_KEY_ENV}.",
    )
    parser.add_argument("--data", type=Path, required=True, help="directory for the objects")
    parser.add_argument("--port", type=int, required=True, help="S3; also uses the next three")
    parser.add_argument(
        "--end-with-stdin", action="store_true", help="end when standard input is closed"
    )
    options = parser.parse_args(arguments)
    try:
        settings = EmbeddedSettings(
            data_dir=options.data.resolve(),
            port=options.port,
            access_key=os.environ.pop(ACCESS_KEY_ENV, ""),
            secret_key=os.environ.pop(SECRET_KEY_ENV, ""),
        )
        owner_fd = sys.stdin.fileno() if options.end_with_stdin else None
        return Supervisor(settings, owner_fd).run()
    except (EmbeddedServerError, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
