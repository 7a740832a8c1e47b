"""A release that is there whole or not at all: made, chosen for the next start, removed.

It is made as `.VERSION.partial` beside its place and renamed once it answers. What was downloaded
for one that did not come about stays in `.cache`, so that the next try goes on from there.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from node_agent.files import alone_in
from node_agent.releases.catalog import CURRENT, Release, ReleaseError, current, installed

LAST_LINES: Final = 5
"""Of a command's output that a person sees when it failed."""
RENDER_CHILD: Final = "import node_agent.render.process, node_agent.render.testcard"
RAY_VERSION: Final = "from importlib.metadata import version; print(version('ray'))"

_WHEEL = re.compile(r"heliostat-([^-]+)-py3-none-any\.whl")
_VERSION = re.compile(r"(?:heliostat==)?([0-9][A-Za-z0-9.+!_]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where a release comes from."""

    version: str
    wheel: Path | None
    """None: from pip's index, or its `find_links`."""
    find_links: Sequence[str] = ()
    lock: Path | None = None
    """Requirements of all else, with hashes; nothing that is not in it is installed."""

    @classmethod
    def parse(
        cls, text: str, *, find_links: Sequence[str] = (), lock: Path | None = None
    ) -> Source:
        """Of a wheel's path, `VERSION` or `heliostat==VERSION`. Raises `ReleaseError`."""
        links = tuple(find_links)
        if found := _WHEEL.fullmatch(Path(text).name):
            if not Path(text).is_file():
                raise ReleaseError(f"{text}: there is no such file")
            wheel = Path(text).absolute()
            return cls(version=found[1], wheel=wheel, find_links=links, lock=lock)
        if found := _VERSION.fullmatch(text):
            return cls(version=found[1], wheel=None, find_links=links, lock=lock)
        raise ReleaseError(
            f"{text!r} is neither a version, such as 0.2.0, nor a wheel of Heliostat, "
            "such as heliostat-0.2.0-py3-none-any.whl"
        )

    def requirement(self, extra: str = "") -> str:
        """As pip takes it."""
        return f"{self.wheel}{extra}" if self.wheel else f"heliostat{extra}=={self.version}"

    def steps(self) -> list[list[str]]:
        """Arguments of each `pip install`."""
        if self.lock is None:
            return [[self.requirement("[node]")]]
        return [["--require-hashes", "-r", str(self.lock)], ["--no-deps", self.requirement()]]


def add(source: Source, directory: Path) -> tuple[Release, bool]:
    """The release, and whether it was made now. Raises `ReleaseError`, OSError.

    A cluster is of one Ray: a release with another than this node's is refused.
    """
    release = Release(source.version, directory / source.version)
    if release in installed(directory):
        return release, False
    directory.mkdir(parents=True, exist_ok=True)
    partial, cache = directory / f".{source.version}.partial", directory / ".cache"
    busy = ReleaseError(f"{directory}: another process adds a release; wait for it")
    with alone_in(directory, busy):
        shutil.rmtree(partial, ignore_errors=True)
        made, has_pip = Release(source.version, partial), find_spec("pip") is not None
        venv.create(partial, with_pip=not has_pip, symlinks=True)
        pip = [sys.executable if has_pip else str(made.python), "-m", "pip"]
        pip += ["--python", str(made.python), "--disable-pip-version-check"]
        links = [word for link in source.find_links for word in ("--find-links", link)]
        for step in source.steps():
            install = [*pip, "--cache-dir", str(cache), "install", "--quiet", *links, *step]
            _run(made, install, "could not be installed")
        _examine(made)
        _say_its_place(partial, release.directory)
        partial.rename(release.directory)
        shutil.rmtree(cache, ignore_errors=True)
    return release, True


def use(wanted: str, directory: Path) -> Release:
    """Have the node's service start with a release from its next start on.

    Raises `ReleaseError`, OSError.
    """
    release = _of(wanted, directory)
    temporary = directory.with_name(f".{CURRENT}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(release.directory.relative_to(directory.parent))
    temporary.replace(directory.with_name(CURRENT))
    return release


def remove(unwanted: str, directory: Path) -> None:
    """Remove a release that nobody uses. Raises `ReleaseError`, OSError."""
    release = _of(unwanted, directory)
    if current(directory) == unwanted:
        raise ReleaseError(
            f"{unwanted} is the release that this node's service starts with: "
            "`farm-node release use` another first"
        )
    if users := sorted(_users(release.directory)):
        raise ReleaseError(
            f"{unwanted} is in use by process {', '.join(map(str, users))}: bring its cards to "
            "another release first (`farm upgrade`)"
        )
    gone = directory / f".{unwanted}.gone"
    shutil.rmtree(gone, ignore_errors=True)
    release.directory.rename(gone)  # in one step: half a release is none
    shutil.rmtree(gone)


def _of(wanted: str, directory: Path) -> Release:
    known = {each.version: each for each in installed(directory)}
    if wanted not in known:
        raise ReleaseError(
            f"{directory} has no release {wanted}; it has {', '.join(known) or 'none'}: "
            "`farm-node release add` brings one"
        )
    return known[wanted]


def _examine(made: Release) -> None:
    """It must be what it is called, able to render, and of this node's Ray."""
    python = [str(made.python), "-P"]
    said = _run(made, [*python, "-m", "node_agent.cli", "--version"], "does not answer")
    if said.split()[-1:] != [made.version]:
        raise ReleaseError(f"it was to be {made.version}, and says of itself: {said}")
    _run(made, [*python, "-c", RENDER_CHILD], "has no render child that could be started")
    theirs, ours = _run(made, [*python, "-c", RAY_VERSION], "has no Ray"), version("ray")
    if theirs != ours:
        raise ReleaseError(
            f"{made.version} comes with Ray {theirs}, and this node runs Ray {ours}: a cluster is "
            f"of one Ray. Add it with --lock and a lock that has ray=={ours}, or upgrade the whole "
            "farm at once (docs/upgrades.md)"
        )


def _run(made: Release, command: Sequence[str], failed: str) -> str:
    """What a command about the release says. Raises `ReleaseError`."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env=clean,
        cwd=made.directory,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    if done.returncode != 0:
        last = "\n".join((done.stderr or done.stdout).strip().splitlines()[-LAST_LINES:])
        raise ReleaseError(f"release {made.version} {failed}:\n{last}")
    return done.stdout.strip()


def _say_its_place(partial: Path, directory: Path) -> None:
    """Scripts name their interpreter by its path: let it be the one that it will have."""
    for path in (*(partial / "bin").iterdir(), partial / "pyvenv.cfg"):
        if not path.is_symlink() and path.is_file():
            content = path.read_bytes()
            path.write_bytes(content.replace(os.fsencode(partial), os.fsencode(directory)))


def _users(directory: Path) -> Iterator[int]:
    """Processes with a file of this directory in memory, or with it on their command line."""
    marks = (os.fsencode(directory) + b"/", os.fsencode(directory.resolve()) + b"/")
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "maps"):
            with suppress(OSError):  # it has ended, or is another user's
                content = (process / name).read_bytes()
                if any(mark in content for mark in marks):
                    yield int(process.name)
                    break
