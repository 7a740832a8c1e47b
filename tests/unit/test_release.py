"""Wheel and sdist: complete, valid, reproducible, and of one version."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

from farm import __version__
from tools.chart import CHART
from tools.release.dist import (
    NotReleasable,
    build,
    check,
    check_changelog,
    check_metadata,
    copy_tree,
    digests,
    missing_from_wheel,
    tracked,
    twice,
)
from tools.release.parts import ROOT

HERE = (sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-t", "wheel", "-d")
"""As `make dist` builds, in this environment: nothing is downloaded."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("release")
    return build(copy_tree(folder / "source", 0o644), folder / "made", HERE)


def test_what_is_made_passes_every_check(made: list[Path]):
    assert [path.name for path in made] == [
        f"heliostat-{__version__}-py3-none-any.whl",
        f"heliostat-{__version__}.tar.gz",
    ]
    check(made)


def test_a_wheel_without_an_asset_is_refused(made: list[Path], tmp_path: Path):
    poorer = tmp_path / made[0].name
    lost = {"farm/gateway/openapi.json", "farm/py.typed"}
    with zipfile.ZipFile(made[0]) as whole, zipfile.ZipFile(poorer, "w") as less:
        for name in set(whole.namelist()) - lost:
            less.writestr(name, whole.read(name))
    assert set(missing_from_wheel(poorer)) == lost
    with pytest.raises(NotReleasable, match="lacks farm/"):
        check([poorer])


def test_made_twice_it_is_the_same_to_the_byte(made: list[Path]):
    assert twice(HERE) == digests(made)


def test_programs_of_the_sdist_can_be_run(made: list[Path]):
    with tarfile.open(made[1]) as sdist:
        modes = {member.name.partition("/")[2]: member.mode for member in sdist}
    programs = [name for name in tracked() if os.access(ROOT / name, os.X_OK)]
    assert "tools/install.sh" in programs
    assert {name for name, mode in modes.items() if mode & 0o111} == {
        name for name in programs if name in modes
    }


def test_metadata_without_a_licence_is_refused(tmp_path: Path):
    wheel = tmp_path / "heliostat.whl"
    text = f"Metadata-Version: 2.4\nName: heliostat\nVersion: {__version__}\n\nwords"
    with zipfile.ZipFile(wheel, "w") as content:
        content.writestr(f"heliostat-{__version__}.dist-info/METADATA", text)
    with pytest.raises(NotReleasable, match="lacks licence"):
        check_metadata(wheel)


def test_a_release_needs_its_section_in_the_changelog():
    check_changelog("1.2.0", "# Changelog\n\n## 1.2.0 (2027-01-01)\n")
    with pytest.raises(NotReleasable, match=r"no section for 1\.2\.0"):
        check_changelog("1.2.0", "## Unreleased\n## 1.2.01\n")


def test_there_is_one_version():
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text(encoding="utf-8"))
    openapi = json.loads((ROOT / "farm/gateway/openapi.json").read_text(encoding="utf-8"))
    assert chart["version"] == chart["appVersion"] == openapi["info"]["version"] == __version__
    said = subprocess.check_output(
        [sys.executable, "-m", "hatchling", "version"], cwd=ROOT, text=True
    )
    assert said.strip() == __version__
