"""A private PostgreSQL server for benchmarks: on the disk, durable, reached by its socket alone."""

import os
import pwd
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READY_SECONDS = 60.0
SETTINGS = {
    "listen_addresses": "",
    "shared_buffers": "128MB",
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
}
"""All but the first two are the server's defaults, named because the figures depend on them."""


@contextmanager
def postgresql() -> Iterator[str]:
    """The URL of an empty database, whose server is ended and removed on the way out."""
    programs = _programs()
    home = Path(tempfile.mkdtemp(prefix="heliostat-pg-"))
    as_whom: dict[str, int | list[int]] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        other = pwd.getpwnam("nobody")
        os.chown(home, other.pw_uid, other.pw_gid)
        as_whom = {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
    data = home / "data"
    make = [programs / "initdb", "-D", data, "-U", "farm", "-A", "trust", "-E", "UTF8"]
    subprocess.run(
        [*make, "--locale=C.UTF-8", "--no-instructions"],
        check=True, cwd=home, stdout=subprocess.DEVNULL, **as_whom,
    )  # fmt: skip
    settings = {**SETTINGS, "unix_socket_directories": str(home)}
    options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [programs / "postgres", "-D", data, *options],
            cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True, **as_whom,
        )  # fmt: skip
        try:
            _wait(process, programs, home)
            create = [programs / "createdb", "-h", home, "-U", "farm", "ledger"]
            subprocess.run(create, check=True, cwd=home)
            yield f"postgresql://farm@/ledger?host={home}"
        finally:
            process.terminate()
            process.wait()
            shutil.rmtree(home, ignore_errors=True)


def _programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    on_path = shutil.which("initdb")
    if not found and not on_path:
        raise SystemExit("PostgreSQL's server is missing: tools/system.sh installs it")
    return found[-1].parent if found else Path(str(on_path)).parent


def _wait(process: subprocess.Popen[bytes], programs: Path, home: Path) -> None:
    deadline = time.monotonic() + READY_SECONDS
    ask = [programs / "pg_isready", "-q", "-h", home]
    while subprocess.run(ask, check=False).returncode != 0:
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"PostgreSQL did not start: {(home / 'log').read_text()}")
        time.sleep(0.05)
