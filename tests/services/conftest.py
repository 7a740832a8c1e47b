"""Services installed below a scratch root, by the commands as their users type them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from farm.cli.app import app as farm_app
from node_agent.cli import app as node_app

HEAD = "127.0.0.1:1"
"""Where nothing listens."""
TOKEN = "a-ray-token-of-a-test"


@dataclass(frozen=True)
class Scratch:
    """A root with a few files that were there before."""

    root: Path

    def call(self, app: typer.Typer, *arguments: str, code: int = 0) -> Result:
        done = CliRunner().invoke(app, [*arguments, "--root", str(self.root)])
        assert done.exit_code == code, f"{done.output}\n{done.exception}"
        return done

    def node(self, *options: str, code: int = 0) -> Result:
        """`farm-node install`."""
        return self.call(node_app, "install", HEAD, *options, code=code)

    def head(self, *options: str, code: int = 0) -> Result:
        """`farm install`."""
        return self.call(farm_app, "install", *options, code=code)

    def uninstall(self, part: str, *options: str) -> Result:
        app = {"node": node_app, "head": farm_app}[part]
        return self.call(app, "uninstall", *options)

    def tree(self) -> dict[str, str]:
        """Every path, with a file's content and permissions."""
        found = {}
        for path in sorted(self.root.rglob("*")):
            what = path.read_text() if path.is_file() else ""
            found[f"/{path.relative_to(self.root)}"] = f"{path.stat().st_mode:o} {what}"
        return found

    def files(self) -> set[str]:
        return {
            f"/{path.relative_to(self.root)}" for path in self.root.rglob("*") if path.is_file()
        }

    def path(self, name: str) -> Path:
        return self.root / name.lstrip("/")


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Scratch:
    for name in [*os.environ]:
        if name.startswith("HELIOSTAT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HELIOSTAT_RAY_TOKEN", TOKEN)
    root = tmp_path / "root"
    (root / "etc/systemd/system").mkdir(parents=True)
    (root / "etc/hostname").write_text("r2-s3\n")
    return Scratch(root)
