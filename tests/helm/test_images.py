"""The images are what the chart expects and what the locks hold. No engine builds them here."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from farm import __version__
from tests.helm.conftest import SETS, Render, values_of
from tools.chart import CHART
from tools.release.parts import REQUIREMENTS, facts, locked

ROOT = CHART.parents[1]
IMAGES = {"coordinator": "farm", "node": "farm-node"}
Step = tuple[str, str]


def steps(image: str) -> list[Step]:
    """Instruction and its text, lines joined, of a Containerfile."""
    text = (ROOT / "images" / image / "Containerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line and not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in joined.split("\n"))]


def last_stage(image: str) -> list[Step]:
    """From the last FROM on."""
    all_steps = steps(image)
    starts = [index for index, (word, _) in enumerate(all_steps) if word == "FROM"]
    return all_steps[starts[-1] :]


def values(found: list[Step], word: str) -> dict[str, str]:
    """The pairs of all LABEL or ENV instructions."""
    return {
        name: value.strip('"')
        for instruction, rest in found
        if instruction == word
        for name, value in re.findall(r'([\w.]+)=("[^"]*"|\S+)', rest)
    }


@pytest.mark.parametrize("image", IMAGES)
def test_only_known_instructions_and_pinned_bases(image: str):
    known = {"FROM", "ARG", "ENV", "WORKDIR", "COPY", "ADD", "RUN", "LABEL", "USER", "ENTRYPOINT"}
    assert {word for word, _ in steps(image)} <= known | {"CMD"}
    stages = {name for _, rest in steps(image) for name in re.findall(r" AS (\w+)$", rest)}
    bases = {rest.split()[0] for word, rest in steps(image) if word == "FROM"} - stages
    assert len(bases) == 1, "one base, so that both stages have the same Python"
    assert re.search(r":3\.11-slim-bookworm@sha256:[0-9a-f]{64}$", bases.pop())


@pytest.mark.parametrize("image", IMAGES)
def test_users_and_places_are_the_charts(image: str, render: Render):
    stage = last_stage(image)
    pod = render.set("cpu-workers").pods()["head" if image == "coordinator" else "worker cpu"]
    context = pod["spec"]["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" in [r for w, r in stage if w == "USER"]
    container = pod["spec"]["containers"][0]
    assert [yaml.safe_load(rest) for word, rest in stage if word == "ENTRYPOINT"] == [
        container["command"]
    ]
    environment = values(stage, "ENV")
    for variable in container["env"]:
        if variable["name"] in ("HOME", "HELIOSTAT_DATA_DIR"):
            assert environment[variable["name"]] == variable["value"]
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert {environment["HOME"], environment["HELIOSTAT_DATA_DIR"]} <= mounts
    assert environment["PATH"].startswith("/opt/heliostat/bin:")


def test_images_are_called_as_the_chart_calls_them():
    said = values_of("values.yaml")["image"]
    for image in IMAGES:
        assert said[image]["repository"] == f"heliostat-{image}"
        assert values(last_stage(image), "LABEL")["org.opencontainers.image.title"] == (
            f"heliostat-{image}"
        )


@pytest.mark.parametrize("name", SETS)
def test_commands_of_pods_are_programs_of_their_image(render: Render, name: str):
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for pod in render.set(name).pods().values():
        for container in pod["spec"]["containers"]:
            assert set(container["command"]) <= set(scripts["project"]["scripts"])


@pytest.mark.parametrize("image", IMAGES)
def test_everything_is_installed_by_hash_and_nothing_from_elsewhere(image: str):
    runs = [rest for word, rest in steps(image) if word == "RUN"]
    installs = [
        command
        for run in runs
        for command in re.split(r"&&|;", run)
        if re.search(r"\bpip\b.* (install|wheel) ", command)
    ]
    assert len(installs) >= 3
    for command in installs:
        assert "--require-hashes" in command or "--no-index" in command, command
        assert "--no-deps" in command, command
    assert not any("apt-get install" in run and "no-install-recommends" not in run for run in runs)


@pytest.mark.parametrize(("image", "packages"), [("coordinator", []), ("node", ["g++"])])
def test_the_last_stage_has_no_tools_but_the_compiler_of_blocks(image: str, packages: list[str]):
    runs = " ".join(rest for word, rest in last_stage(image) if word == "RUN")
    found = re.findall(r"--no-install-recommends ([^&]*)", runs)
    assert " ".join(found).split() == packages
    assert " pip " not in runs
    for module in ("readline", "_gdbm"):
        assert f"lib-dynload/{module}.*" in runs, "it links a GPL library"
    copied = [rest for word, rest in last_stage(image) if word == "COPY"]
    assert all("--from=build /opt/" in rest for rest in copied)


@pytest.mark.parametrize("image", IMAGES)
def test_labels_say_what_it_is(image: str):
    stage = last_stage(image)
    labels = values(stage, "LABEL")
    assert f"VERSION={__version__}" in [rest for word, rest in stage if word == "ARG"]
    assert labels["org.opencontainers.image.version"] == "${VERSION}"
    assert labels["org.opencontainers.image.revision"] == "${REVISION}"
    for name in ("source", "licenses", "description"):
        assert labels[f"org.opencontainers.image.{name}"]


def test_the_nodes_ffmpeg_is_the_one_of_the_report_and_has_no_gpl_part():
    text = (ROOT / "images" / "node" / "Containerfile").read_text(encoding="utf-8")
    ffmpeg: dict[str, Any] = next(e for e in facts()["built"] if e["name"] == "ffmpeg")
    assert f"ADD {ffmpeg['source']} " in text
    assert f'"{ffmpeg["sha256"]}  ffmpeg.tar.xz" | sha256sum --check' in text
    assert {"--disable-gpl", "--disable-nonfree"} <= set(text.split())
    libraries = set(re.findall(r"--enable-lib(\w+)", text))
    assert libraries == {"openh264", "svtav1", "dav1d"}
    assert "--no-binary av" in text


def test_what_images_have_was_tested_in_the_same_versions():
    tested = locked(REQUIREMENTS / "cuda.lock")
    for name in ("client", *IMAGES):
        for distribution, (version, _) in locked(REQUIREMENTS / f"{name}.lock").items():
            assert tested[distribution][0] == version, f"{name}.lock: run make lock"


def test_the_context_has_what_is_copied():
    ignored = Path(ROOT / ".containerignore").read_text(encoding="utf-8").splitlines()
    assert "*" in ignored
    for image in IMAGES:
        for word, rest in steps(image):
            if word == "COPY" and not rest.startswith("--from="):
                for source in rest.split()[:-1]:
                    assert f"!{source.split('/')[0]}" in ignored
                    assert (ROOT / source).exists()
