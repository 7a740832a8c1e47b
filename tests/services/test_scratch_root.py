"""What installing a head or a node writes, that systemd takes it, and that all of it goes again."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm.cli.app import app as farm_app
from heliostat.services import system
from node_agent.cli import app as node_app
from tests.conftest import require_program
from tests.services.conftest import HEAD, TOKEN, Scratch

EXPOSURE_MAX = "30"
"""Of systemd's own reckoning, tenths: issue of the agent's unit is 3.0."""
SYSUSERS = "/etc/sysusers.d/heliostat.conf"
UNITS = "/etc/systemd/system"
NODE = ("--renderer", "testcard", "--cpu-cards", "1")
NODE_FILES = {
    SYSUSERS,
    f"{UNITS}/heliostat-node.service",
    "/etc/heliostat/node.toml",
    "/etc/heliostat/ray-token",
    "/etc/logrotate.d/heliostat-node",
    "/var/lib/heliostat/installed-node.json",
}
HEAD_FILES = {
    SYSUSERS,
    f"{UNITS}/heliostat-head.service",
    "/etc/heliostat/heliostat.toml",
    "/etc/heliostat/secrets/api_token",
    "/etc/heliostat/secrets/ray_token",
    "/etc/logrotate.d/heliostat-head",
    "/var/lib/heliostat/installed-head.json",
}


def analyse(*arguments: str | Path) -> None:
    """Run systemd-analyze, which must find nothing wrong."""
    program = require_program("systemd-analyze")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "options",
    [
        ("node", *NODE),
        ("node", *NODE, "--power-limit", "120", "--user", "root"),
        ("node", "--model", "/root/models/helios", "--inputs", "/mnt/plates"),
        ("head", "--renderer", "testcard", "--deliveries", "/mnt/out"),
        ("head", "--gpu-cards", "2", "--model", "/srv/models/helios"),
    ],
    ids=" ".join,
)
def test_systemd_takes_the_units_and_holds_them_for_hardened(
    scratch: Scratch, options: tuple[str, ...]
):
    part, *rest = options
    (scratch.node if part == "node" else scratch.head)(*rest)
    units = [*scratch.path(UNITS).glob("*.service")]
    assert units
    for unit in units:
        analyse("verify", "--man=no", unit)
        flags = ("--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager")
        analyse("security", *flags, unit)


def test_the_check_of_units_sees_what_it_should(tmp_path: Path):
    unit = tmp_path / "heliostat-open.service"
    unit.write_text("[Service]\nExecStart=/usr/bin/env true\nProtectSytem=strict\n")
    with pytest.raises(AssertionError, match="exposure"):
        analyse("security", "--offline=true", f"--threshold={EXPOSURE_MAX}", "--no-pager", unit)
    unit.write_text("[Service]\nExecStart=/usr/bin/no-such-program\n")
    with pytest.raises(AssertionError, match="not executable"):
        analyse("verify", "--man=no", unit)


def test_every_file_is_named_and_goes_again(scratch: Scratch):
    before = scratch.tree()
    names = scratch.files()
    said = json.loads(scratch.node(*NODE, "--json").stdout)
    assert set(said["written"]) == scratch.files() - names == NODE_FILES
    said = json.loads(scratch.head("--renderer", "testcard", "--json").stdout)
    assert scratch.files() - names == NODE_FILES | HEAD_FILES
    assert SYSUSERS not in said["written"], "the node's installation has made the user"
    scratch.uninstall("node")
    assert scratch.files() - names == HEAD_FILES, "what the head needs stays"
    assert "nothing is left" in scratch.uninstall("head").stdout
    assert scratch.tree() == before
    assert "nothing is installed" in scratch.uninstall("head").stdout


def test_a_second_time_changes_nothing_and_says_so(scratch: Scratch):
    for install in (
        lambda *more: scratch.node(*NODE, *more),
        lambda *more: scratch.head("--renderer", "testcard", *more),
    ):
        install()
        before = scratch.tree()
        assert "nothing to change" in install().stdout
        assert json.loads(install("--json").stdout)["changed"] is False
        assert scratch.tree() == before


def test_a_dry_run_shows_a_diff_without_secrets_and_writes_nothing(scratch: Scratch):
    before = scratch.tree()
    said = scratch.node(*NODE, "--dry-run").stdout
    assert "+ExecStart=/usr/bin/env farm-node join" in said
    assert "new: /etc/heliostat/ray-token (secret" in said
    assert TOKEN not in said
    assert scratch.tree() == before
    scratch.node(*NODE)
    said = scratch.node(*NODE, "--power-limit", "120", "--dry-run").stdout
    assert "+ExecStart=/usr/bin/env farm-node power-limit --watts 120" in said
    assert "farm-node join" not in said, "what stays as it is is not shown"


def test_secrets_are_roots_alone_and_in_no_other_file(scratch: Scratch):
    scratch.node(*NODE)
    scratch.head("--renderer", "testcard")
    secrets = {scratch.path("/etc/heliostat/ray-token")}
    secrets |= {*scratch.path("/etc/heliostat/secrets").iterdir()}
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    words = {path.read_text().strip() for path in secrets}
    assert TOKEN in words
    for name in scratch.files():
        path = scratch.path(name)
        assert path in secrets or not any(word in path.read_text() for word in words), name


def test_what_was_changed_by_hand_is_kept_and_named_unless_purged(scratch: Scratch):
    before = scratch.tree()
    scratch.node(*NODE)
    unit, settings = f"{UNITS}/heliostat-node.service", "/etc/heliostat/node.toml"
    for name in (unit, settings):
        with scratch.path(name).open("a") as file:
            file.write("# mine\n")
    drop_ins = scratch.path(f"{unit}.d")
    drop_ins.mkdir()
    (drop_ins / "override.conf").write_text("[Service]\nCPUWeight=50\n")
    scratch.path("/var/lib/heliostat/node/spool").mkdir(parents=True)
    refused = scratch.node(*NODE, "--power-limit", "9", code=1)
    assert f"{unit} was written or changed by hand" in str(refused.exception)
    said = scratch.uninstall("node").stdout
    for name in (unit, settings, f"{unit}.d"):
        assert f"kept {name}: it was changed by hand" in said
    assert "kept /var/lib/heliostat/node: data" in said
    assert scratch.files() > {unit, settings}
    said = scratch.uninstall("node", "--purge", "--yes").stdout
    assert "nothing is left" in said
    assert scratch.tree() == before


def test_data_goes_only_when_a_person_says_so(scratch: Scratch):
    scratch.head("--renderer", "testcard")
    ledger = scratch.path("/var/lib/heliostat/head/store/farm.db")
    ledger.parent.mkdir(parents=True)
    ledger.touch()
    done = CliRunner().invoke(
        farm_app, ["uninstall", "--purge", "--root", str(scratch.root)], input="n\n"
    )
    assert done.exit_code == 1
    assert ledger.exists()
    scratch.uninstall("head")
    assert ledger.exists()
    scratch.uninstall("head", "--purge", "--yes")
    assert not ledger.exists()


def test_a_settings_file_of_ones_own_is_left_alone(scratch: Scratch):
    settings = scratch.path("/etc/heliostat/node.toml")
    settings.parent.mkdir(parents=True)
    mine = '[node]\nrenderer = "testcard"\ncpu_cards = 1\n[card.0]\nrack = "r2"\n'
    settings.write_text(mine)
    scratch.node()
    scratch.node(*NODE)
    refused = scratch.node(*NODE, "--name", "r2-s4", code=1)
    assert 'write into it, or leave the options out:\nname = "r2-s4"' in str(refused.exception)
    scratch.uninstall("node")
    assert settings.read_text() == mine


def test_options_are_written_down_and_kept(scratch: Scratch):
    scratch.node(*NODE)
    scratch.node("--name", "r2-s4")
    said = scratch.path("/etc/heliostat/node.toml").read_text()
    assert "cpu_cards = 1" in said
    assert 'name = "r2-s4"' in said
    scratch.head("--renderer", "testcard", "--port", "9000")
    token = scratch.path("/etc/heliostat/secrets/api_token").read_text()
    scratch.head("--cpu-cards", "2")
    said = scratch.path("/etc/heliostat/heliostat.toml").read_text()
    assert "port = 9000\ncpu_cards = 2\n" in said
    assert scratch.path("/etc/heliostat/secrets/api_token").read_text() == token


def test_what_cannot_be_installed_says_why_and_what_helps(
    scratch: Scratch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert "--user" in str(scratch.node(*NODE, "--user", "nobody-here", code=1).exception)
    assert "--model DIR" in str(scratch.node(code=1).exception)
    off_loopback = scratch.head("--renderer", "testcard", "--host", "10.0.0.5", code=2)
    assert "an S3 endpoint is needed" in off_loopback.output
    assert scratch.files() == {"/etc/hostname"}
    monkeypatch.delenv("HELIOSTAT_RAY_TOKEN")
    assert "HELIOSTAT_RAY_TOKEN" in str(scratch.node(*NODE, code=1).exception)

    def here(*arguments: str) -> str:
        done = CliRunner().invoke(node_app, ["install", HEAD, *arguments])
        assert done.exit_code == 1
        return str(done.exception)

    assert "model fetch" in here("--dry-run", "--model", str(tmp_path / "none"))
    monkeypatch.setattr(system, "BOOTED", tmp_path / "none")
    monkeypatch.setattr("os.geteuid", lambda: 0)
    assert "systemd does not run here" in here(*NODE)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert "this needs root: sudo farm-node install" in here(*NODE)


def test_a_head_that_does_not_answer_is_a_warning(scratch: Scratch):
    assert "warning: the head does not answer at 127.0.0.1:7" in scratch.node(*NODE).stderr


def test_homes_are_hidden_but_for_what_is_read_there(scratch: Scratch):
    scratch.node("--model", "/root/models/helios", "--inputs", "/mnt/plates")
    unit = scratch.path(f"{UNITS}/heliostat-node.service").read_text()
    assert "BindReadOnlyPaths=-/root/models/helios\n" in unit
    assert "/mnt/plates" not in unit, "it reads all but homes anyway"


@pytest.mark.parametrize(("part", "log"), [("node", "ray.log"), ("head", "logs/launch.log")])
def test_what_does_not_rotate_by_itself_is_rotated(
    scratch: Scratch, tmp_path: Path, part: str, log: str
):
    program = require_program("logrotate")
    (scratch.node if part == "node" else scratch.head)(*NODE, "--user", "root")
    rules = scratch.path(f"/etc/logrotate.d/heliostat-{part}")
    checked = subprocess.run([program, "-d", rules], capture_output=True, text=True, check=True)
    assert "error" not in checked.stderr
    here = tmp_path / part / log
    here.parent.mkdir(parents=True)
    here.write_bytes(b"x" * (5 << 20))
    rules.write_text(rules.read_text().replace("/var/lib/heliostat", str(tmp_path)))
    with here.open("ab") as writer:
        for _ in range(5):
            writer.write(b"y" * (5 << 20))
            writer.flush()
            state = ("--state", str(tmp_path / "state"))
            subprocess.run([program, *state, rules], check=True)
    kept = {path.name for path in here.parent.iterdir()}
    assert kept == {here.name, *(f"{here.name}.{n}" for n in (1, 2, 3))}
    assert here.stat().st_size == 0
