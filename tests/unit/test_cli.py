"""The command line without a farm: usage, settings, and what is told when none answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from farm import __version__
from farm.cli.app import app
from farm.cli.output import problem_line
from farm.domain.spec import Problem

COMMANDS = (
    ["status"],
    ["cards"],
    ["nodes"],
    ["clips", "b"],
    ["watch", "b"],
    ["cancel", "b"],
    ["retry", "b", "--failed"],
    ["fetch", "b", "out"],
    ["submit", "good.csv"],
    ["pause", "b"],
    ["amend", "b", "--priority", "1"],
    ["looks", "b"],
    ["approve", "b"],
    ["score", "b", "c=1"],
    ["why", "b"],
    ["log"],
    ["node", "lock", "n"],
    ["project", "list"],
    ["limit", "list"],
    ["circuit", "list"],
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import os

    for name in list(os.environ):
        if name.startswith("HELIOSTAT_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "good.csv").write_text("id,prompt\n1,a cat\n")
    return tmp_path


def farm(*arguments: str):
    return CliRunner().invoke(app, list(arguments), catch_exceptions=False)


def test_the_version(home: Path) -> None:
    assert farm("version").stdout == f"heliostat {__version__}\n"
    assert json.loads(farm("version", "--json").stdout) == {"version": __version__}


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_a_farm_the_exit_code_is_3(home: Path, arguments: list[str]) -> None:
    done = farm(*arguments)
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr == (
        f"farm: no farm runs in {home}/data: `farm up` starts one, "
        "--endpoint or HELIOSTAT_ENDPOINT names another\n"
    )
    as_json = farm(*arguments, "--json")
    assert as_json.exit_code == 3
    assert json.loads(as_json.stdout)["error"]["reason"] == "UNREACHABLE"


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("e.csv", b"", "the file is empty, write a header and a row for each clip"),
        ("b.csv", bytes(64), "the file is binary and no text, export it as CSV in UTF-8"),
        ("n.csv", None, "there is no such file, check its name"),
    ],
)
def test_what_is_no_file_is_refused_without_a_farm(
    home: Path, name: str, content: bytes | None, line: str
) -> None:
    if content is not None:
        (home / name).write_bytes(content)
    done = farm("submit", name)
    assert done.exit_code == 2
    assert done.stderr == f"{name}:1:-: {line}\nfarm: 1 problem, nothing was submitted\n"
    as_json = farm("submit", name, "--json")
    assert json.loads(as_json.stdout)[0]["file"] == name


@pytest.mark.parametrize(
    "arguments",
    [
        ["submit"],
        ["submit", "good.csv", "--map", "frames"],
        ["submit", "good.csv", "--set", "=5"],
        ["submit", "good.csv", "--set", "fps=5", "--set", "fps=6"],
        ["submit", "good.csv", "--priority", "high"],
        ["clips", "b", "--state", "lost"],
        ["retry", "b"],
        ["submit", "good.csv", "--order", "every:1"],
        ["submit", "good.csv", "--deadline", "tomorrow"],
        ["submit", "good.csv", "--vram", "lots"],
        ["amend", "b"],
        ["reject", "b"],
        ["score", "b"],
        ["score", "b", "c=good"],
        ["limit", "set", "disk", "0"],
        ["circuit", "set", "left", "-5"],
        ["node", "schedule", "n"],
        ["node", "circuit", "n", "--on", "c", "--none"],
        ["dance"],
    ],
    ids=" ".join,
)
def test_wrong_usage_has_exit_code_2(home: Path, arguments: list[str]) -> None:
    done = farm(*arguments)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "Usage: " in done.stderr


def test_wrong_settings_are_listed_and_have_exit_code_2(home: Path) -> None:
    (home / "f.toml").write_text('prot = 1\nrendrer = "x"\n')
    done = farm("status", "--config", "f.toml")
    assert done.exit_code == 2
    assert done.stderr.splitlines() == [
        "farm: f.toml: there is no setting 'prot', did you mean port?",
        "farm: f.toml: there is no setting 'rendrer', did you mean renderer?",
    ]


def test_off_loopback_nothing_is_started_without_tokens_and_a_store(home: Path) -> None:
    done = farm("up", "--host", "0.0.0.0", "--renderer", "testcard")
    assert done.exit_code == 2
    names = ["HELIOSTAT_API_TOKEN", "HELIOSTAT_RAY_TOKEN", "--s3-endpoint, HELIOSTAT_S3_ENDPOINT"]
    lines = done.stderr.splitlines()
    assert len(lines) == 3
    assert all(name in line for name, line in zip(names, lines, strict=True))
    assert not (home / "data").exists()


def test_a_problem_is_one_line_whatever_is_in_it() -> None:
    line = problem_line("a\x1b.csv", Problem(3, "no\nte", "what\r", "do\u2028it"))
    assert line == "a\\x1b.csv:3:no\\nte: what\\r, do\\u2028it"
    assert problem_line("f", Problem(2, "", "w", "r")) == "f:2:-: w, r"


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['farm', '--help']\n"
        "from farm.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'ray', 'torch', 'boto3', 'grpc', 'pydantic', 'sqlalchemy'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(command[0] in done.stdout for command in COMMANDS)
