"""`farm-node release`: versions of Heliostat side by side, each whole or not there.

Wheels are made here: a Heliostat of a few lines, and a Ray that is none.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from importlib.metadata import version
from pathlib import Path

import pytest

from node_agent.releases.catalog import installed
from tests.fixtures.farm import BIN, clean_environment

VERSION = "9.9.9"
CLI = """
def main():
    print("heliostat {version}")
main()
"""


def wheel(folder: Path, name: str, number: str, files: dict[str, str], requires: str = "") -> Path:
    """Write a wheel of pure Python."""
    path = folder / f"{name}-{number}-py3-none-any.whl"
    about = f"{name}-{number}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n{requires}"
    made = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    content = {**files, f"{about}/METADATA": metadata, f"{about}/WHEEL": made}
    record = "".join(f"{each},,\n" for each in (*content, f"{about}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for each, text in {**content, f"{about}/RECORD": record}.items():
            archive.writestr(each, text)
    return path


class Node:
    """A machine with releases, and wheels to make them of."""

    def __init__(self, folder: Path) -> None:
        self.wheels, self.directory = folder / "wheels", folder / "releases"
        self.wheels.mkdir()
        wheel(self.wheels, "ray", version("ray"), {"ray/__init__.py": ""})

    def heliostat(self, number: str = VERSION, *, says: str = "", child: str = "") -> Path:
        """Its wheel; it may say that it is another, and its render child may be broken."""
        files = {
            "node_agent/__init__.py": "",
            "node_agent/cli.py": CLI.format(version=says or number),
            "node_agent/render/__init__.py": "",
            "node_agent/render/process.py": child,
            "node_agent/render/testcard.py": "",
            f"heliostat-{number}.dist-info/entry_points.txt": (
                "[console_scripts]\nfarm-node = node_agent.cli:main\n"
            ),
        }
        needs = "Provides-Extra: node\nRequires-Dist: ray; extra == 'node'\n"
        return wheel(self.wheels, "heliostat", number, files, needs)

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        """`farm-node release` with these arguments; what it says."""
        done = subprocess.run(
            [BIN / "farm-node", "release", *arguments],
            env={
                **clean_environment(),
                "HELIOSTAT_RELEASES_DIR": str(self.directory),
                "PIP_NO_INDEX": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout if code == 0 else done.stderr

    def add(self, source: str | Path, *more: str | Path, code: int = 0) -> str:
        return self.run("add", source, "--find-links", self.wheels, *more, code=code)

    def put(self, number: str) -> Path:
        """A release without pip's work."""
        bin_ = self.directory / number / "bin"
        bin_.mkdir(parents=True)
        (bin_ / "python").symlink_to(sys.executable)
        return bin_ / "python"


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def test_a_wheel_becomes_a_release_that_answers_where_it_is(node: Node) -> None:
    said = json.loads(node.add(node.heliostat(), "--json"))
    python = node.directory / VERSION / "bin" / "python"
    assert said == {
        "version": VERSION,
        "python": str(python),
        "current": False,
        "running": False,
        "added": True,
    }
    program = python.with_name("farm-node")
    script = subprocess.run([program], env={}, capture_output=True, check=True)
    assert script.stdout.decode().split() == ["heliostat", VERSION] * 2, "imported, and called"
    assert os.listdir(node.directory) == [VERSION], "neither cache nor beginnings are left"
    before = python.parent.parent.stat().st_mtime_ns
    assert "was there already" in node.add(VERSION)
    assert python.parent.parent.stat().st_mtime_ns == before


def test_a_version_comes_from_the_index_and_a_lock_holds(node: Node, tmp_path: Path) -> None:
    node.heliostat()
    lock = tmp_path / "lock"
    ray = f"ray=={version('ray')} --hash=sha256:"
    lock.write_text(f"{ray}{'0' * 64}\n")
    assert "DO NOT MATCH THE HASHES" in node.add(VERSION, "--lock", lock, code=1)
    assert installed(node.directory) == []
    (file,) = node.wheels.glob("ray-*")
    sum_ = subprocess.run(["sha256sum", file], capture_output=True, text=True, check=True)
    lock.write_text(f"{ray}{sum_.stdout.split()[0]}\n")
    node.add(VERSION, "--lock", lock)
    assert [each.version for each in installed(node.directory)] == [VERSION]


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        ({"says": "9.9.8"}, "it was to be 9.9.9, and says of itself: heliostat 9.9.8"),
        ({"child": "import nothing_of_this_name"}, "nothing_of_this_name"),
    ],
)
def test_what_does_not_answer_is_no_release(node: Node, wrong: dict[str, str], reason: str) -> None:
    assert reason in node.add(node.heliostat(**wrong), code=1)
    assert installed(node.directory) == []
    node.add(node.heliostat())


def test_a_release_of_another_ray_is_refused(node: Node) -> None:
    for each in node.wheels.glob("ray-*"):
        each.unlink()
    wheel(node.wheels, "ray", "1.0", {"ray/__init__.py": ""})
    said = node.add(node.heliostat(), code=1)
    assert f"comes with Ray 1.0, and this node runs Ray {version('ray')}" in said
    assert installed(node.directory) == []


def test_what_is_neither_version_nor_wheel_is_refused(node: Node) -> None:
    for source in ("../0.2.0", "heliostat[node]==0.2.0", "other-0.2.0-py3-none-any.whl", "-r"):
        assert node.run("add", "--", source, code=1)
    assert not node.directory.exists()


def test_a_node_without_releases_says_how_it_gets_one(node: Node) -> None:
    assert "farm-node release add VERSION" in node.run("list")
    assert json.loads(node.run("list", "--json")) == []


def test_the_service_starts_with_the_release_that_is_chosen(node: Node) -> None:
    node.put("0.2.0"), node.put("0.3.0")
    for chosen in ("0.2.0", "0.3.0"):
        node.run("use", chosen)
        assert node.directory.with_name("current").resolve() == node.directory / chosen
    listed = json.loads(node.run("list", "--json"))
    assert [(each["version"], each["current"]) for each in listed] == [
        ("0.2.0", False),
        ("0.3.0", True),
    ]
    assert "0.3.0" in node.run("list")
    assert "it has 0.2.0, 0.3.0" in node.run("use", "0.4.0", code=1)


def test_only_what_nobody_uses_is_removed(node: Node) -> None:
    python = node.put("0.2.0")
    node.put("0.3.0")
    node.run("use", "0.3.0")
    assert "starts with" in node.run("remove", "0.3.0", code=1)
    user = subprocess.Popen([python, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert f"in use by process {user.pid}" in node.run("remove", "0.2.0", code=1)
    finally:
        user.communicate()
    node.run("remove", "0.2.0")
    assert [each.version for each in installed(node.directory)] == ["0.3.0"]
    assert os.listdir(node.directory) == ["0.3.0"]


ALONE = """
import sys
from pathlib import Path
from node_agent.files import alone_in
directory = Path(sys.argv[1])
directory.mkdir()
with alone_in(directory, BlockingIOError("it is alone")):
    print("alone", flush=True)
    input()
"""


def test_two_do_not_add_at_once(node: Node) -> None:
    command = [sys.executable, "-c", ALONE, node.directory]
    other = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert other.stdout is not None
    other.stdout.readline()
    try:
        assert "another process adds a release" in node.add(node.heliostat(), code=1)
    finally:
        other.communicate(b"\n")
    node.add(node.heliostat())


def test_a_killed_beginning_is_made_anew(node: Node, tmp_path: Path) -> None:
    beginning = node.directory / f".{VERSION}.partial" / "bin"
    beginning.mkdir(parents=True)
    (beginning / "python").touch(mode=0o755)
    assert installed(node.directory) == []
    node.add(node.heliostat())
    assert [each.version for each in installed(node.directory)] == [VERSION]
