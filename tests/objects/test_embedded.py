"""The embedded server survives the death of its parts, and leaves nothing behind."""

import errno
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace

import psutil
import pytest

from farm.objects import swift_config
from farm.objects.embedded import (
    ACCESS_KEY_ENV,
    SECRET_KEY_ENV,
    EmbeddedServerError,
    EmbeddedSettings,
    EmbeddedStore,
)
from farm.objects.s3 import S3ObjectStore
from farm.objects.swift_cache import MemoryCache
from tests.fixtures.object_store import (
    embedded_settings,
    free_base_port,
    s3_settings,
    swift_data_dir,
)

PATIENCE_SECONDS = 120.0
ROLES = {"swift-proxy", "swift-object", "swift-container", "swift-account"}


def eventually(condition):
    """The condition's first true value; the deadline is for a test that fails."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not (value := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)
    return value


def servers_of(supervisor_pid):
    """Swift's servers by name, those that run."""
    try:
        children = psutil.Process(supervisor_pid).children()
        return {child.name(): child for child in children if child.status() != psutil.STATUS_ZOMBIE}
    except psutil.NoSuchProcess:
        return {}


def comes_after(dead, name, server):
    """True once another process than the dead one, which may take a moment to die, has its role."""
    process = servers_of(server.supervisor_pid).get(name)
    return process is not None and process.pid != dead


def is_gone(process):
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def patient(store: EmbeddedStore, bucket: str) -> S3ObjectStore:
    """A client whose retries outlast a restart."""
    settings = s3_settings(store, bucket)
    return S3ObjectStore(replace(settings, tries_max=300), rehash=False)


@pytest.fixture(scope="module")
def settings():
    data = swift_data_dir()
    yield embedded_settings(data)
    shutil.rmtree(data)


@pytest.fixture
def server(settings):
    with EmbeddedStore(settings) as store:
        yield store


def test_each_killed_server_comes_back_and_nothing_is_lost(server):
    objects = patient(server, "kills")
    objects.ensure_bucket()
    objects.put("before", b"kept", "text/plain")
    for name in sorted(ROLES):
        victim = servers_of(server.supervisor_pid)[name]
        victim.kill()
        objects.put(f"after-{name}", name.encode(), "text/plain")
        assert objects.get(f"after-{name}") == name.encode()
        eventually(lambda name=name, dead=victim.pid: comes_after(dead, name, server))
    assert objects.get("before") == b"kept"
    assert set(servers_of(server.supervisor_pid)) >= ROLES


def test_listings_catch_up_with_what_was_written_while_they_could_not(server):
    """Sweeps and audits list; an object that no listing names would be an orphan for ever."""
    objects = patient(server, "listing")
    objects.ensure_bucket()
    objects.put("first", b"1", "text/plain")
    supervisor = psutil.Process(server.supervisor_pid)
    container = servers_of(supervisor.pid)["swift-container"]
    supervisor.suspend()  # nobody starts it again for now
    try:
        container.kill()
        eventually(lambda: is_gone(container))
        objects.put("second", b"2", "text/plain")
        assert objects.get("second") == b"2"
    finally:
        supervisor.resume()
    eventually(lambda: [entry.key for entry in objects.list("")] == ["first", "second"])


def test_a_killed_supervisor_leaves_no_orphan_and_is_started_again(server):
    objects = patient(server, "orphans")
    objects.ensure_bucket()
    objects.put("k", b"kept", "text/plain")
    first = server.supervisor_pid
    children = list(servers_of(first).values())
    assert len(children) >= len(ROLES)
    os.kill(first, signal.SIGKILL)
    eventually(lambda: all(is_gone(child) for child in children))
    eventually(lambda: server.supervisor_pid != first)
    assert objects.get("k") == b"kept"


def test_everything_ends_with_its_owner(settings):
    """The owner is killed; it could not clean up, and no process of the server is left."""
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from farm.objects.embedded import EmbeddedSettings, EmbeddedStore\n"
        "data, port, access, secret = sys.argv[1:]\n"
        "settings = EmbeddedSettings(data_dir=Path(data), port=int(port), access_key=access,"
        " secret_key=secret)\n"
        "with EmbeddedStore(settings) as store:\n"
        "    print(store.supervisor_pid, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    arguments = [str(settings.data_dir), str(settings.port)]
    arguments += [settings.access_key, settings.secret_key]
    with subprocess.Popen(
        [sys.executable, "-c", script, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        supervisor = psutil.Process(int(owner.stdout.readline()))
        processes = [supervisor, *supervisor.children()]
        owner.kill()
    eventually(lambda: all(is_gone(process) for process in processes))


def test_stopped_and_started_elsewhere_the_objects_are_still_there(settings):
    with EmbeddedStore(settings) as store:
        objects = patient(store, "restart")
        objects.ensure_bucket()
        objects.put("k", b"kept", "text/plain")
        processes = [psutil.Process(store.supervisor_pid)]
        processes += processes[0].children()
    assert all(is_gone(process) for process in processes)
    moved = replace(embedded_settings(settings.data_dir), access_key="farm:another")
    with EmbeddedStore(moved) as store:
        assert patient(store, "restart").get("k") == b"kept"
        with pytest.raises(EmbeddedServerError, match="another embedded object store runs"):
            EmbeddedStore(embedded_settings(settings.data_dir)).__enter__()


def test_in_the_foreground_it_serves_until_sigterm(settings):
    environment = os.environ | {
        ACCESS_KEY_ENV: settings.access_key,
        SECRET_KEY_ENV: settings.secret_key,
    }
    command = [sys.executable, "-m", "farm.objects.embedded", "--data", str(settings.data_dir)]
    command += ["--port", str(settings.port)]
    with subprocess.Popen(command, env=environment) as process:
        eventually(EmbeddedStore(settings).is_ready)
        children = list(servers_of(process.pid).values())
        words = " ".join(word for child in children for word in child.cmdline())
        assert settings.secret_key not in words
        process.terminate()
        assert process.wait(PATIENCE_SECONDS) == 0
    assert all(is_gone(child) for child in children)


def test_a_port_in_use_is_named(settings):
    port = free_base_port()
    taken = port + 1
    with socket.socket() as other:
        other.bind(("127.0.0.1", taken))
        other.listen()
        store = EmbeddedStore(replace(settings, port=port))
        with pytest.raises(EmbeddedServerError, match=f"port {taken} .* not free"), store:
            pass


def test_a_file_system_without_attributes_is_refused(tmp_path, monkeypatch):
    def refuse(*_arguments):
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    monkeypatch.setattr(os, "setxattr", refuse)
    with pytest.raises(OSError, match="Choose a data directory on ext4"):
        swift_config.check_file_system(tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"port": 80}, "port 80"),
        ({"access_key": "farm"}, "ACCOUNT:USER"),
        ({"access_key": "Farm:x y"}, "ACCOUNT:USER"),
        ({"secret_key": "with space 123"}, "secret key"),
    ],
)
def test_settings_that_swift_cannot_have_are_refused(settings, changes, message):
    with pytest.raises(ValueError, match=message):
        replace(settings, **changes)


def test_keys_stay_with_the_owner(server):
    settings = server.settings
    assert settings.secret_key not in repr(settings)
    for path in settings.data_dir.rglob("*.conf"):
        assert path.stat().st_mode & 0o077 == 0
    assert settings.data_dir.stat().st_mode & 0o077 == 0
    assert isinstance(settings, EmbeddedSettings)


def test_the_proxys_cache_forgets_in_time():
    now = [0.0]
    cache = MemoryCache(clock=lambda: now[0])
    value = {"a": [1]}
    cache.set("k", value, time=10)
    value["a"].append(2)
    assert cache.get("k") == {"a": [1]}
    now[0] = 10.0
    assert cache.get("k") is None
    cache.set_multi({"x": 1, "y": 2}, "s")
    assert cache.get_multi(["x", "z", "y"], "s") == [1, None, 2]
    cache.delete("x")
    assert cache.get("x") is None
    assert [cache.incr("n"), cache.incr("n", 4), cache.decr("n", 9)] == [1, 5, 0]
