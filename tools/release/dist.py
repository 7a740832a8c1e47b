"""Makes wheel and sdist in an isolated environment, checks them, and writes SHA256SUMS.

The environment has what requirements/build.lock holds and nothing else; the wheel is made from the
sdist. `--twice` makes both in two other places instead, under another clock, umask and time zone,
and compares every byte.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from packaging.metadata import Metadata

from farm import __version__

from .parts import ROOT
from .sbom import source_date

DIST = ROOT / "dist"
_BIN = Path(sys.executable).parent
ISOLATED = (
    _BIN / "uv", "build", "--quiet", "--build-constraints", ROOT / "requirements" / "build.lock",
    "--require-hashes", "--out-dir",
)  # fmt: skip
"""Followed by the folder for what is made."""


class NotReleasable(Exception):
    """Something of the release is not as it has to be; the message says what."""


def build(
    source: Path, out: Path, command: Sequence[str | Path] = ISOLATED, **environment: str
) -> list[Path]:
    """Wheel and sdist of a source tree. Raises CalledProcessError."""
    out.mkdir(parents=True, exist_ok=True)
    moment = str(int(source_date().timestamp()))
    own = {**os.environ, "SOURCE_DATE_EPOCH": moment, **environment}
    subprocess.run([*command, out], cwd=source, env=own, check=True)
    return sorted([*out.glob("*.whl"), *out.glob("*.tar.gz")])


def tracked() -> list[str]:
    """Files of the repository."""
    listed = subprocess.check_output(["git", "ls-files", "-z"], cwd=ROOT, text=True)
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def copy_tree(target: Path, mode: int) -> Path:
    """The repository's files elsewhere, and nothing else; programs can be run by who reads them."""
    for name in tracked():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, path)
        path.chmod(mode | (mode & 0o444) >> 2 if os.access(ROOT / name, os.X_OK) else mode)
    return target


def digests(files: Sequence[Path]) -> dict[str, str]:
    """File name → SHA-256."""
    return {each.name: hashlib.sha256(each.read_bytes()).hexdigest() for each in files}


def missing_from_wheel(wheel: Path) -> list[str]:
    """Files of the packages that are in the repository and not in the wheel."""
    with zipfile.ZipFile(wheel) as content:
        inside = set(content.namelist())
    packages = ("farm/", "node_agent/", "proto/heliostat/")
    wanted = [name.removeprefix("proto/") for name in tracked() if name.startswith(packages)]
    licence = f"heliostat-{__version__}.dist-info/licenses/LICENSE"
    return [name for name in [*wanted, licence] if name not in inside]


def check_metadata(wheel: Path) -> None:
    """What the wheel says of itself is valid. Raises NotReleasable."""
    with zipfile.ZipFile(wheel) as content:
        text = content.read(f"heliostat-{__version__}.dist-info/METADATA")
    said = Metadata.from_email(text, validate=True)
    if said.license_expression != "Apache-2.0" or not said.description:
        raise NotReleasable(f"{wheel.name}: its metadata lacks licence or description")


def check_changelog(version: str, text: str) -> None:
    """The version has a section. Raises NotReleasable."""
    if not re.search(rf"^## \[?{re.escape(version)}\b", text, re.MULTILINE):
        raise NotReleasable(f"CHANGELOG.md has no section for {version}: name what is in it")


def is_tagged(version: str) -> bool:
    """This commit is said to be the version's."""
    tags = subprocess.check_output(["git", "tag", "--points-at", "HEAD"], cwd=ROOT, text=True)
    return f"v{version}" in tags.split()


def check(made: Sequence[Path]) -> None:
    """Wheel and sdist are fit for a release. Raises NotReleasable, CalledProcessError."""
    (wheel,) = (each for each in made if each.suffix == ".whl")
    if left_out := missing_from_wheel(wheel):
        raise NotReleasable(f"{wheel.name} lacks {', '.join(left_out)}")
    check_metadata(wheel)
    subprocess.run([_BIN / "check-wheel-contents", wheel], cwd=ROOT, check=True)
    if is_tagged(__version__):
        check_changelog(__version__, (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"))


def twice(command: Sequence[str | Path] = ISOLATED) -> dict[str, str]:
    """Digests of what is made, the same both times. Raises NotReleasable."""
    made = []
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        for place, mode, zone in ((one, 0o644, "UTC"), (f"{other}/elsewhere", 0o600, "Asia/Tokyo")):
            source = copy_tree(Path(place) / "source", mode)
            made.append(digests(build(source, Path(place) / "made", command, TZ=zone)))
    if made[0] != made[1]:
        differ = [name for name, digest in made[0].items() if made[1].get(name) != digest]
        raise NotReleasable(f"made twice, these differ: {', '.join(differ)}")
    return made[0]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--twice", action="store_true", help="only see that it is reproducible")
    try:
        if parser.parse_args().twice:
            found = twice()
        else:
            for old in (*DIST.glob("*.whl"), *DIST.glob("*.tar.gz")):
                old.unlink()
            with tempfile.TemporaryDirectory() as folder:
                made = build(copy_tree(Path(folder) / "source", 0o644), DIST)
            check(made)
            found = digests(made)
            lines = [f"{digest}  {name}\n" for name, digest in found.items()]
            (DIST / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    except NotReleasable as error:
        print(f"make dist: {error}", file=sys.stderr)
        return 1
    for name, digest in found.items():
        print(f"{digest}  {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
