"""The licence gate reads what metadata says, and refuses what it does not know."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message
from importlib.metadata import distributions
from pathlib import Path

import pytest

from tools.release.licences import allowed, check_releases, installed_report, refusals, table
from tools.release.parts import RELEASED, Part, facts, licence_of, parts_of


class Installed:
    """A distribution with the given metadata."""

    def __init__(self, *headers):
        self.metadata = Message()
        for name, value in headers:
            self.metadata[name] = value


@pytest.mark.parametrize(
    ("expression", "verdict"),
    [
        ("MIT", True),
        ("GPL-3.0-only", False),
        ("GPL-3.0-only OR MIT", True),
        ("GPL-3.0-only AND MIT", False),
        ("(MIT OR GPL-2.0-only) AND BSD-3-Clause", True),
        ("", False),
    ],
)
def test_an_expression_is_allowed_when_all_its_parts_can_be_satisfied(expression, verdict):
    assert allowed(expression) is verdict


@pytest.mark.parametrize(
    ("headers", "licence"),
    [
        ([("License-Expression", "MIT"), ("License", "GPL")], "MIT"),
        ([("License", "Apache 2.0")], "Apache-2.0"),
        (
            [
                ("License", "Permission is hereby granted, free of charge ..."),
                ("Classifier", "License :: OSI Approved :: MIT License"),
            ],
            "MIT",
        ),
        ([], ""),
    ],
)
def test_a_licence_is_read_from_expression_text_or_classifiers(headers, licence):
    assert licence_of(Installed(*headers)) == licence


def test_unknown_licences_are_refused_by_name(capsys):
    rows = [("good", "MIT"), ("nvidia-cublas", "NVIDIA"), ("copyleft", "AGPL-3.0"), ("silent", "")]
    assert installed_report(rows, every=False) == ["copyleft", "silent"]
    assert "(none named)" in capsys.readouterr().out


Shipped = Callable[..., list[Part]]


@pytest.fixture
def shipped(tmp_path: Path) -> Shipped:
    """Parts of a release whose lock has one distribution, of this metadata and these files."""

    def parts(*headers: str, files: tuple[str, ...] = (), released: str = "client") -> list[Part]:
        site, lock = tmp_path / "site", tmp_path / "lock"
        info = site / "thing-1.0.dist-info"
        info.mkdir(parents=True)
        lines = ["Metadata-Version: 2.4", "Name: thing", "Version: 1.0", *headers]
        (info / "METADATA").write_text("\n".join(lines) + "\n")
        for name in files:
            (site / name).parent.mkdir(parents=True, exist_ok=True)
            (site / name).touch()
        (info / "RECORD").write_text("".join(f"{name},,\n" for name in files))
        lock.write_text("thing==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\n")
        known = {**facts(), "built": []}
        return parts_of(released, known, lock, list(distributions(path=[str(site)])))

    return parts


def test_nothing_that_a_release_ships_is_unknown_or_under_the_gpl():
    assert check_releases(facts()) == []


def test_a_dependency_under_the_gpl_fails(shipped: Shipped):
    (said,) = refusals("client", shipped("License-Expression: GPL-3.0-or-later"))
    assert said == "client ships thing 1.0: GPL-3.0-or-later"


def test_a_dependency_of_unknown_licence_fails(shipped: Shipped):
    (said,) = refusals("client", shipped())
    assert "no licence that we know" in said


def test_a_bundled_x264_fails(shipped: Shipped):
    files = ("thing.libs/libx264-d6533a8d.so.165", "thing.libs/libpq-00aabbcc.so.5")
    (said,) = refusals("client", shipped("License-Expression: MIT", files=files))
    assert "bundles libx264: GPL-2.0-or-later" in said


def test_a_bundled_library_that_nobody_looked_at_fails(shipped: Shipped):
    (said,) = refusals("client", shipped("License-Expression: MIT", files=("t/libnew.so.1",)))
    assert "bundles libnew: its licence is not in requirements/parts.toml" in said


def test_extension_modules_are_the_distributions_own(shipped: Shipped):
    files = ("thing/lib.cpython-311-x86_64-linux-gnu.so", "thing/lib_c.abi3.so", "thing/a.so")
    assert refusals("client", shipped("License-Expression: MIT", files=files)) == []


def test_nvidias_terms_are_for_the_image_of_nodes_alone(shipped: Shipped):
    parts = shipped("License-Expression: LicenseRef-NVIDIA-CUDA")
    assert refusals("node", parts) == []
    assert len(refusals("coordinator", parts)) == 1


def test_pyavs_wheel_would_fail_in_the_image_of_nodes():
    known = {**facts(), "from-source": {}}
    said = refusals("node", parts_of("node", known))
    assert any("libx264" in line for line in said)
    assert all("ships av " in line for line in said)


def test_a_locked_wheel_that_nobody_read_is_named():
    recorded = {name: said for name, said in facts()["recorded"].items() if name != "torch"}
    with pytest.raises(LookupError, match=r"torch \S+ is neither installed here nor written down"):
        parts_of("node", {**facts(), "recorded": recorded})


@pytest.mark.parametrize("released", RELEASED)
def test_the_report_has_a_line_for_each_part(released: str):
    parts = parts_of(released, facts())
    lines = table(released, parts).splitlines()[4:]
    assert len(lines) == len(parts) > 20
    assert all(line.count(" | ") == 4 for line in lines)
