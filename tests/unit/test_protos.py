"""The .proto files: in the usual style, and no break of what was released (API-1)."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import require_program

ROOT = Path(__file__).parents[2]
BUF = ROOT / "tools/buf/node_modules/.bin/buf"


@pytest.fixture(scope="module")
def buf() -> str:
    return str(BUF) if BUF.exists() else require_program("buf")


def run(buf: str, *arguments: str, cwd: Path = ROOT / "proto") -> str:
    """What buf complains of; empty where it has nothing to say."""
    done = subprocess.run(
        [buf, *arguments], cwd=cwd, capture_output=True, text=True, check=False, env=os.environ
    )
    assert done.returncode in (0, 100), done.stderr
    return done.stdout + done.stderr


def test_they_are_in_the_standard_style(buf: str) -> None:
    assert run(buf, "lint") == ""


def test_they_break_nothing_that_was_released(buf: str) -> None:
    assert run(buf, "breaking", "--against", "heliostat-v1.binpb") == ""


def test_a_break_would_be_seen(buf: str, tmp_path: Path) -> None:
    folder = tmp_path / "heliostat" / "v1"
    folder.mkdir(parents=True)
    (tmp_path / "buf.yaml").write_text((ROOT / "proto/buf.yaml").read_text())
    for path in (ROOT / "proto/heliostat/v1").glob("*.proto"):
        text = path.read_text().replace("string batch_id = 1;", "uint64 batch_id = 1;")
        (folder / path.name).write_text(text)
    image = str(ROOT / "proto/heliostat-v1.binpb")
    assert 'changed type from "string" to "uint64"' in run(
        buf, "breaking", "--against", image, cwd=tmp_path
    )
