"""`farm monitoring write`: what stands in the folder afterwards, and what is left alone."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from farm.cli.app import app
from farm.cli.monitoring import CONFIG_NAME, for_farm, write_folder
from tests.conftest import require_program
from tests.fixtures.alert_rules import PROMETHEUS


def write(tmp_path: Path, *options: str):
    arguments = ["monitoring", "write", str(tmp_path / "to"), "--data-dir", str(tmp_path / "data")]
    return CliRunner().invoke(app, [*arguments, *options], catch_exceptions=False)


def test_a_folder_gets_all_that_is_there(tmp_path: Path):
    done = write(tmp_path)
    assert done.exit_code == 0, done.output
    folder = PROMETHEUS.parent
    there = {path.relative_to(folder) for suffix in ("yml", "json")
             for path in folder.rglob(f"*.{suffix}")}  # fmt: skip
    assert len(there) > 8
    for path in there:
        assert (tmp_path / "to" / path).read_text() == (folder / path).read_text()
    assert "no farm runs here" in done.output
    subprocess.run(
        [require_program("promtool"), "check", "config", tmp_path / "to" / CONFIG_NAME],
        check=True, capture_output=True,
    )  # fmt: skip


def test_what_was_written_says_so_for_programs(tmp_path: Path):
    first, second = (json.loads(write(tmp_path, "--json").stdout) for _ in range(2))
    assert first["directory"] == str(tmp_path / "to")
    assert set(first["files"].values()) == {"new"}
    assert set(second["files"].values()) == {"same"}


def test_the_config_is_for_the_farm_of_this_machine(tmp_path: Path):
    (tmp_path / "data").mkdir()
    state = {"endpoint": "127.0.0.1:9000", "http": "http://127.0.0.1:9001", "token_file": ""}
    (tmp_path / "data/farm.json").write_text(json.dumps(state))
    assert "no farm runs here" not in write(tmp_path).output
    (job, *_) = yaml.safe_load((tmp_path / "to" / CONFIG_NAME).read_text())["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["127.0.0.1:9001"]}]
    assert "scheme" not in job


def test_a_farm_with_tls_is_scraped_with_its_authority():
    config = (PROMETHEUS / "prometheus.yml").read_text()
    said = yaml.safe_load(for_farm(config, "https://10.0.0.5:8461", Path("/var/farm/ca: 1.pem")))
    (job, *_) = said["scrape_configs"]
    assert job["static_configs"] == [{"targets": ["10.0.0.5:8461"]}]
    assert job["scheme"] == "https"
    assert job["tls_config"] == {"ca_file": "/var/farm/ca: 1.pem"}


OLD = {"a.yml": "a: 1\n", "b.yml": "b: 1\n"}
NEW = {"a.yml": "a: 2\n", "b.yml": "b: 1\n", "c/d.yml": "d: 1\n"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    assert write_folder(tmp_path / "to", OLD, force=False) == {"a.yml": "new", "b.yml": "new"}
    return tmp_path / "to"


def test_an_upgrade_brings_what_is_new(folder: Path):
    said = write_folder(folder, NEW, force=False)
    assert said == {"a.yml": "updated", "b.yml": "same", "c/d.yml": "new"}
    assert {name: (folder / name).read_text() for name in NEW} == NEW


def test_what_somebody_changed_is_kept_where_nothing_new_came(folder: Path):
    (folder / "b.yml").write_text("b: mine\n")
    for _ in range(2):
        assert write_folder(folder, NEW, force=False)["b.yml"] == "kept"
        assert (folder / "b.yml").read_text() == "b: mine\n"


def test_what_somebody_changed_and_what_is_new_is_refused_whole(folder: Path):
    (folder / "a.yml").write_text("a: mine\n")
    with pytest.raises(Exception, match=r"1 file .* new here: a\.yml"):
        write_folder(folder, NEW, force=False)
    assert (folder / "a.yml").read_text() == "a: mine\n"
    assert not (folder / "c").exists()
    assert write_folder(folder, NEW, force=True)["a.yml"] == "overwritten"
    assert (folder / "a.yml").read_text() == "a: 2\n"


def test_a_strangers_config_is_refused_with_exit_code_2(tmp_path: Path):
    (tmp_path / "to/prometheus").mkdir(parents=True)
    (tmp_path / "to" / CONFIG_NAME).write_text("global: {}\n")
    refused = write(tmp_path)
    assert refused.exit_code == 2
    assert CONFIG_NAME in refused.output
    assert sorted(path.name for path in (tmp_path / "to").iterdir()) == ["prometheus"]
    assert write(tmp_path, "--force").exit_code == 0
