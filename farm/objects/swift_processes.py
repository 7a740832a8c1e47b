"""Swift's processes: forked from one supervisor, restarted when they die, dead when it is.

The supervisor imports Swift once and forks its servers from there. So they share most of their
memory, and a server that was killed is back in a fraction of the seconds that an import takes.
It has one thread and takes its signals synchronously: the parent-death signal is tied to the
thread that forked, which must therefore live as long as the process.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import select
import signal
import socket
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from farm.objects import swift_config
from farm.objects.swift_config import ROLES, EmbeddedSettings

_PR_SET_PDEATHSIG: Final = 1
_PR_SET_NAME: Final = 15
_WATCHED: Final = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD})

_TURN_SECONDS: Final = 0.5
_UPDATE_SECONDS: Final = 5.0
_HEALTHY_SECONDS: Final = 5.0
"""A server that lived this long counts as started."""
_FAILED_STARTS_MAX: Final = 10
_RESTART_SECONDS_MAX: Final = 0.8
_STOP_SECONDS: Final = 5.0
_TAKEOVER_SECONDS: Final = 2.0
_LOG_BYTES_MAX: Final = 4 << 20

_UPDATER: Final = "updater"


class EmbeddedServerError(Exception):
    """The embedded object store cannot run; the message says what to do."""


class Supervisor:
    """Runs the four servers in the foreground until it is told to stop.

    `owner_fd` is the reading end of a pipe whose other end the owner holds: when it closes, the
    owner is gone, and so is everything here.
    """

    def __init__(self, settings: EmbeddedSettings, owner_fd: int | None = None) -> None:
        self._settings = settings
        self._owner_fd = owner_fd
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._pids: dict[int, str] = {}
        self._started_at: dict[str, float] = {}
        self._failed_starts: dict[str, int] = {}
        self._due: dict[str, float] = {}
        self._update_at = 0.0

    def run(self) -> int:
        """Serve until SIGTERM, SIGINT or the owner's end. Raises `EmbeddedServerError`."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        self._settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = self._take_over()
        try:
            swift_config.prepare(self._settings)
            _import_swift()
            self._due = dict.fromkeys(ROLES, 0.0)
            while not self._told_to_stop():
                self._reap()
                self._start_due()
                self._start_update()
            return 0
        finally:
            self._stop_all()
            os.close(lock)

    def _take_over(self) -> int:
        """The data directory's lock and free ports; waits for a predecessor that is dying."""
        path = self._settings.data_dir / "lock"
        lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        deadline = time.monotonic() + _TAKEOVER_SECONDS
        while True:
            problem = _lock_problem(lock, path) or self._port_problem()
            if problem is None:
                return lock
            if time.monotonic() > deadline:
                os.close(lock)
                raise EmbeddedServerError(problem)
            time.sleep(0.1)

    def _port_problem(self) -> str | None:
        for role in ROLES:
            port = swift_config.port_of(self._settings, role)
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind(("127.0.0.1", port))
                except OSError as error:
                    return (
                        f"port {port} of the embedded object store is not free "
                        f"({error.strerror}): it needs {self._settings.port} to "
                        f"{self._settings.port + len(ROLES) - 1}; choose another base port"
                    )
        return None

    def _told_to_stop(self) -> bool:
        """Wait a turn, or shorter when something happened."""
        wait = min([_TURN_SECONDS, *(due - time.monotonic() for due in self._due.values())])
        info = signal.sigtimedwait(_WATCHED, max(0.0, wait))
        if info is not None and info.si_signo != signal.SIGCHLD:
            return True
        if self._owner_fd is None:
            return False
        readable, _, _ = select.select([self._owner_fd], [], [], 0)
        return bool(readable) and os.read(self._owner_fd, 1) == b""

    def _reap(self) -> None:
        while self._pids:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            role = self._pids.pop(pid)
            if role == _UPDATER:
                self._update_at = time.monotonic() + _UPDATE_SECONDS
                continue
            self._plan_restart(role, os.waitstatus_to_exitcode(status))

    def _plan_restart(self, role: str, exit_code: int) -> None:
        now = time.monotonic()
        healthy = now - self._started_at[role] >= _HEALTHY_SECONDS
        failed = 0 if healthy else self._failed_starts.get(role, 0) + 1
        self._failed_starts[role] = failed
        if failed > _FAILED_STARTS_MAX:
            raise EmbeddedServerError(
                f"the {role} server of the embedded object store ended {failed} times right after "
                f"its start (last exit code {exit_code}); see {self._log_path(role)}"
            )
        _say(f"{role} server ended ({exit_code}): starting it again")
        self._due[role] = now + (min(_RESTART_SECONDS_MAX, 0.1 * (failed - 1)) if failed else 0.0)

    def _start_due(self) -> None:
        now = time.monotonic()
        for role in [role for role, due in self._due.items() if due <= now]:
            del self._due[role]
            self._started_at[role] = now
            self._fork(role, lambda role=role: _serve(self._settings, role))  # type: ignore[misc]

    def _start_update(self) -> None:
        """Tell the container server what it missed while it was away, so that listings agree."""
        if time.monotonic() < self._update_at or _UPDATER in self._pids.values() or self._due:
            return
        self._update_at = time.monotonic() + _UPDATE_SECONDS
        pending = swift_config.async_pending_dir(self._settings)
        if pending.is_dir() and any(pending.iterdir()):
            self._fork(_UPDATER, lambda: _update(self._settings))

    def _fork(self, name: str, body: Callable[[], None]) -> None:
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._become(name, parent, body)
        self._pids[pid] = name

    def _become(self, name: str, parent: int, body: Callable[[], None]) -> NoReturn:
        """The forked child's whole life."""
        code = 1
        try:
            self._libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:  # it died before the call above
                os._exit(1)
            self._libc.prctl(_PR_SET_NAME, f"swift-{name}".encode(), 0, 0, 0)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _WATCHED)
            _redirect(self._log_path(name))
            body()
            code = 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 1
        except BaseException:  # noqa: BLE001 - the last frame of this process
            traceback.print_exc()
        finally:
            os._exit(code)

    def _stop_all(self) -> None:
        deadline = time.monotonic() + _STOP_SECONDS
        for pid in self._pids:
            os.kill(pid, signal.SIGTERM)
        while self._pids:
            if time.monotonic() > deadline:
                for pid in self._pids:
                    os.kill(pid, signal.SIGKILL)
            pid, _ = os.waitpid(-1, os.WNOHANG)
            self._pids.pop(pid, None)
            if pid == 0:
                signal.sigtimedwait({signal.SIGCHLD}, 0.1)

    def _log_path(self, name: str) -> Path:
        return self._settings.data_dir / "log" / f"{name}.log"


def _lock_problem(lock: int, path: Path) -> str | None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in {errno.EAGAIN, errno.EACCES}:
            raise
        return f"another embedded object store runs on {path.parent}: stop it first"
    return None


def _import_swift() -> None:
    """Everything the servers need, once, before they are forked."""
    import swift.account.server
    import swift.common.middleware.bulk
    import swift.common.middleware.catch_errors
    import swift.common.middleware.copy
    import swift.common.middleware.gatekeeper
    import swift.common.middleware.healthcheck
    import swift.common.middleware.s3api.s3api
    import swift.common.middleware.slo
    import swift.common.middleware.tempauth
    import swift.container.server
    import swift.obj.server
    import swift.obj.updater
    import swift.proxy.server  # noqa: F401

    # Ours are forked before eventlet has patched or scheduled anything; Swift does the same.
    warnings.filterwarnings("ignore", message="Using fork", category=DeprecationWarning)


def _serve(settings: EmbeddedSettings, role: str) -> None:
    from swift.common import wsgi
    from swift.obj.server import global_conf_callback

    # Swift would look our user up by name; we are who we should be, with or without a name.
    wsgi.drop_privileges = lambda _user: None
    options = {"global_conf_callback": global_conf_callback} if role == "object" else {}
    config = str(swift_config.config_path(settings, role))
    code = wsgi.run_wsgi(config, f"{role}-server", verbose=True, **options)
    sys.exit(code)


def _update(settings: EmbeddedSettings) -> None:
    from swift.common import utils
    from swift.obj.updater import ObjectUpdater

    conf = swift_config.defaults(settings)
    utils.set_swift_dir(conf["swift_dir"])
    utils.validate_configuration()
    utils.monkey_patch()
    device = swift_config.async_pending_dir(settings).parent
    logger = utils.get_logger(conf, "object-updater", log_to_console=True)
    ObjectUpdater(conf, logger).object_sweep(str(device))


def _redirect(log_path: Path) -> None:
    """Send everything this process says to its log, and keep that from growing for ever."""
    log_path.parent.mkdir(exist_ok=True)
    if log_path.exists() and log_path.stat().st_size > _LOG_BYTES_MAX:
        log_path.replace(log_path.with_suffix(".log.1"))
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(null)
    os.close(log)


def _say(text: str) -> None:
    sys.stderr.write(f"embedded object store: {text}\n")
    sys.stderr.flush()
