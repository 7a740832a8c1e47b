"""The rules for Prometheus: whole, tested by cases that can fail, and of metrics that there are."""

from __future__ import annotations

import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import typer
import yaml

from farm.cli.app import app as farm
from node_agent.cli import app as farm_node
from tests.conftest import require_program
from tests.fixtures.alert_rules import (
    PROMETHEUS,
    ROOT,
    TEST_FILES,
    Mutant,
    alert_mutants,
    alerts,
    cases,
    recording_mutants,
    recordings,
)

WITHOUT_THRESHOLD = {"HeliostatWatchdog"}
METRIC = re.compile(r"\bheliostat_[a-z0-9_]+")
RECORDED = re.compile(r"\bheliostat:[a-z0-9_]+:[a-z0-9_]+")
RUNBOOK = ROOT / "docs/runbook.md"
DOCUMENTS = (RUNBOOK, ROOT / "docs/monitoring.md")


def promtool(*arguments: str) -> None:
    program = require_program("promtool")
    ran = subprocess.run(
        [program, *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "FAILED" not in ran.stdout + ran.stderr


def test_the_config_and_its_rules_are_valid():
    promtool("check", "config", "prometheus.yml")
    promtool("check", "rules", "rules/recording.yml", "rules/alerts.yml")


@pytest.mark.parametrize("path", TEST_FILES, ids=lambda path: path.stem)
def test_every_case_of_the_rules_holds(path: Path):
    promtool("test", "rules", str(path))


@pytest.mark.parametrize("name", alerts())
def test_an_alert_has_a_case_in_which_it_fires_and_one_in_which_it_does_not(name: str):
    tried = [
        bool(each["exp_alerts"])
        for case in cases()
        for each in case.get("alert_rule_test", ())
        if each["alertname"] == name
    ]
    assert set(tried) == ({True} if name in WITHOUT_THRESHOLD else {True, False})


def survivors(mutants: list[Mutant], directory: Path) -> list[str]:
    program = require_program("promtool")

    def tried(number: int) -> bool:
        folder = directory / str(number)
        folder.mkdir()
        return mutants[number].survives(program, folder)

    with ThreadPoolExecutor(2) as pool:
        alive = pool.map(tried, range(len(mutants)))
        return [mutant.what for mutant, lives in zip(mutants, alive, strict=True) if lives]


def test_a_case_fails_for_every_changed_threshold_of_an_alert(tmp_path: Path):
    mutants = [each for each in alert_mutants() if each.name not in WITHOUT_THRESHOLD]
    assert {mutant.name for mutant in mutants} == alerts().keys() - WITHOUT_THRESHOLD
    assert not survivors(mutants, tmp_path)


def test_a_case_fails_for_every_changed_recording_rule(tmp_path: Path):
    assert not survivors(recording_mutants(), tmp_path)


@pytest.mark.parametrize("name", alerts())
def test_an_alert_says_what_a_person_needs(name: str):
    rule = alerts()[name]
    assert name.startswith("Heliostat")
    assert rule["labels"]["severity"] in {"page", "ticket", "watchdog"}
    assert rule["labels"].keys() == {"severity", "component"}
    said = rule["annotations"]
    assert said.keys() == {"summary", "runbook_url"}
    # A number: of the alert itself, or how long it has gone on.
    assert re.search(r"\$value|\d", said["summary"]) or name in WITHOUT_THRESHOLD
    assert said["runbook_url"] == f"docs/runbook.md#{name.lower()}"


def test_the_runbook_has_a_section_for_each_alert_and_no_other():
    sections = re.findall(r"^### (\w+)$", RUNBOOK.read_text(), re.MULTILINE)
    assert sorted(sections) == sorted(alerts())
    for text in re.split(r"^### ", RUNBOOK.read_text(), flags=re.MULTILINE)[1:]:
        assert "**Means**" in text, text.splitlines()[0]
        assert "**Look**" in text, text.splitlines()[0]
        assert "**Do**" in text, text.splitlines()[0]
        assert "**Ignore**" in text, text.splitlines()[0]


def documented() -> set[str]:
    """The metrics that docs/metrics.md lists: whatever stands in backticks in first columns."""
    lines = (ROOT / "docs/metrics.md").read_text().splitlines()
    cells = [line.split("|")[1] for line in lines if line.startswith("|")]
    names = (name for cell in cells for name in re.findall(r"`(\w+)", cell))
    return {name if name.startswith("heliostat_") else f"heliostat_{name}" for name in names}


@pytest.mark.parametrize(
    "path",
    [*sorted((PROMETHEUS / "rules").iterdir()), *TEST_FILES, PROMETHEUS / "prometheus.yml",
     *DOCUMENTS],
    ids=lambda path: path.stem,
)  # fmt: skip
def test_every_metric_that_is_named_is_emitted(path: Path):
    used = {re.sub(r"_(sum|count|bucket)$", "", name) for name in METRIC.findall(path.read_text())}
    known = documented()
    assert not {name for name in used if not ({name, f"{name}_total"} & known)}


@pytest.mark.parametrize("path", [PROMETHEUS / "rules/alerts.yml", *TEST_FILES, *DOCUMENTS])
def test_every_recorded_series_that_is_named_is_recorded(path: Path):
    assert not set(RECORDED.findall(path.read_text())) - recordings().keys()


def test_what_is_of_the_whole_farm_is_not_summed_over_gateways():
    """`sum` only of what gateways count themselves, and of what was made unique before."""
    own = {"heliostat_exchanges_total", "heliostat_storage_errors_total",
           "heliostat_storage_corruptions_total"}  # fmt: skip
    for name, rule in (alerts() | recordings()).items():
        for inner in re.findall(r"\bsum(?: by \([^)]*\))? ?\((.*)", rule["expr"]):
            first = METRIC.search(inner)
            unique = re.match(r"max by|heliostat:", inner)
            assert unique or (first and first[0] in own), f"{name}: {rule['expr']}"


def test_the_config_reads_the_rules_beside_it():
    said = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    assert said["rule_files"] == ["rules/*.yml"]
    assert next(job["job_name"] for job in said["scrape_configs"]) == "heliostat"


def commands(text: str) -> set[str]:
    """`farm …` and `farm-node …` in backticks, and lines of them."""
    spans = re.findall(r"`([^`]+)`", " ".join(text.replace("```", "").split()))
    lines = re.findall(r"^farm(?:-node)? .*$", text, re.MULTILINE)
    return {span for span in spans if re.match(r"(farm|farm-node) ", span)} | set(lines)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.stem)
def test_every_command_that_is_named_exists_with_its_options(path: Path):
    found = commands(path.read_text())
    assert found
    for text in found:
        program, *words = shlex.split(text, comments=True)
        command = typer.main.get_command({"farm": farm, "farm-node": farm_node}[program])
        while words and isinstance(command, typer.core.TyperGroup):
            command = command.commands[words.pop(0)]
        known = {option for each in command.params for option in each.opts}
        assert not {word for word in words if word.startswith("--")} - known, text
