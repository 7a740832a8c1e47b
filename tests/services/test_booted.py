"""Head and node as services of a machine with systemd: they render, they stop, nothing is left.

The units run as they are written: their user, sandbox, credentials and directories are systemd's.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.fixtures.booted import BootedMachine, booted_machine
from tests.fixtures.farm import PATIENCE_SECONDS

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

DATA = "/var/lib/heliostat/head"
HEAD, NODE = "heliostat-head.service", "heliostat-node.service"
NODE_OPTIONS = ("127.0.0.1", "--renderer", "testcard", "--cpu-cards", "1")
TOKEN = ("--token-file", "/etc/heliostat/secrets/ray_token")
PATHS = ("/etc", "/opt", "/usr/local", "/var/lib", "/var/log", "/root", "/home", "/tmp")
"""Where an installation could leave something."""


@pytest.fixture
def machine() -> Iterator[BootedMachine]:
    with booted_machine() as machine:
        yield machine


def eventually(what: str, machine: BootedMachine, true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        said = f"{machine.journal(HEAD)}\n{machine.journal(NODE)}" if machine else ""
        assert time.monotonic() < deadline, f"never: {what}\n{said[-6000:]}"
        time.sleep(0.5)


def leftovers(machine: BootedMachine) -> set[str]:
    """Every file that is not as it is on this machine, with its content's hash.

    Backups that the tools for users make (`/etc/passwd-`), and their lock, are theirs.
    """
    found = set()
    for path in machine.written.rglob("*"):
        name = f"/{path.relative_to(machine.written)}"
        if path.is_dir() or not name.startswith(PATHS) or name.endswith(("-", ".pwd.lock")):
            continue
        content, here = path.read_bytes() if path.is_file() else b"", Path(name)
        if not (here.is_file() and here.read_bytes() == content):
            found.add(f"{name} {hashlib.sha256(content).hexdigest()}")
    return found


def test_head_and_node_render_as_services_and_leave_nothing(machine: BootedMachine):
    users = machine.run("getent", "passwd").stdout
    before = leftovers(machine)
    machine.farm("install", "--renderer", "testcard")
    eventually("a head that serves", machine, lambda: '"serving"' in machine.journal(HEAD))
    machine.farm_node("install", *NODE_OPTIONS, *TOKEN)
    for said in (
        machine.farm("install", "--renderer", "testcard"),
        machine.farm_node("install", *NODE_OPTIONS, *TOKEN),
    ):
        assert "nothing to change" in said

    def cards() -> list[dict[str, str]]:
        done = machine.run(*machine.FARM, "cards", "--data-dir", DATA, "--json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else []

    eventually("a card", machine, lambda: bool(cards()))
    machine.run("bash", "-c", "printf 'id,prompt,frames,size\\n1,a cat,33,64x64\\n' > /tmp/b.csv")
    machine.farm("submit", "/tmp/b.csv", "--data-dir", DATA, "--wait")
    shielded(machine)
    said = machine.farm_node("uninstall", "--purge", "--yes")
    assert "left: nothing was held any more" in machine.journal(NODE)
    assert "nothing is left" in said
    assert machine.show(HEAD, "ActiveState") == "active"
    assert "nothing is left" in machine.farm("uninstall", "--purge", "--yes")
    assert machine.processes_of("heliostat-") == []
    machine.run("rm", "/tmp/b.csv")
    assert machine.run("getent", "passwd").stdout == users
    assert leftovers(machine) == before


def shielded(machine: BootedMachine) -> None:
    """What runs has no rights, sees no homes, and reads the token from where only it may."""
    for unit in (HEAD, NODE):
        pid = machine.show(unit, "MainPID")
        status = machine.run("cat", f"/proc/{pid}/status").stdout
        for line in ("CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"):
            assert line in status
        owner = machine.run("stat", "--format=%U", f"/proc/{pid}").stdout.strip()
        assert owner == "heliostat"
        as_it = ("nsenter", "--target", pid, "--mount", "--setuid", "0", "--")
        assert machine.run(*as_it, "ls", "/home").stdout == ""
    denied = machine.run(
        *("setpriv", "--reuid=heliostat", "--clear-groups", "cat", "/etc/heliostat/ray-token"),
        check=False,
    )
    assert "Permission denied" in denied.stderr
