"""The wheel on a bare machine, in an environment of its own, with nothing of the checkout.

`pip install heliostat` without extras is enough to submit, watch and fetch: it is installed beside
the base dependencies alone, as the locks have them. With extras it is a whole farm: `farm demo`.
Dependencies are this environment's own copies, so nothing is downloaded.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import venv
from importlib.metadata import Distribution, distribution
from pathlib import Path

import numpy as np
import pytest

from farm.client.local import find_local
from farm.fleet_ray.settings import HeadSettings
from node_agent.film import pictures
from tests.fixtures.farm import RealFarm, assert_nothing_left, clean_environment
from tools.mini.judge import read_chunks

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
NEVER = ("torch", "ray", "av", "boto3", "sqlalchemy", "numpy", "starlette", "diffusers")


def base_distributions() -> list[Distribution]:
    """What heliostat requires without extras, and what that requires."""
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    named = re.search(r"^dependencies = \[(.*?)^\]", project, re.MULTILINE | re.DOTALL)
    assert named is not None
    wanted = re.findall(r'"([A-Za-z0-9._-]+)', named[1])
    found: dict[str, Distribution] = {}
    while wanted:
        name = re.sub(r"[-_.]+", "-", wanted.pop()).lower()
        if name in found:
            continue
        try:
            found[name] = distribution(name)
        except ModuleNotFoundError:
            continue  # for another platform or Python
        wanted += [
            re.split(r"[\[<>=!~; (]", requirement)[0]
            for requirement in found[name].requires or []
            if "extra ==" not in requirement
        ]
    return list(found.values())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    (made,) = folder.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def whole(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with heliostat's wheel and what all extras bring.

    A folder that a `.pth` names is searched, but its own `.pth` files, such as that of the
    checkout, are not followed.
    """
    home, packages = environment_at(tmp_path_factory.mktemp("whole"))
    (packages / "extras.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    installed(wheel, home)
    return home / "bin"


@pytest.fixture(scope="module")
def bare(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The `bin` of an environment with heliostat's wheel and its base dependencies."""
    home, packages = environment_at(tmp_path_factory.mktemp("bare"))
    for each in base_distributions():
        for top in {path.parts[0] for path in each.files or () if path.parts[0] != ".."}:
            source, link = Path(str(each.locate_file(top))), packages / top
            if link.exists() and source.is_dir():  # `google` is shared
                _link_shared(each, link, packages)
            elif not link.exists():
                _link(each, source, link, packages)
    installed(wheel, home)
    return home / "bin"


def environment_at(home: Path) -> tuple[Path, Path]:
    """An empty environment, and its folder for packages."""
    venv.create(home, symlinks=True)
    (packages,) = home.glob("lib/python*/site-packages")
    return home, packages


def installed(wheel: Path, home: Path) -> None:
    install = ["install", "--quiet", "--no-deps", "--no-index", "--ignore-installed", str(wheel)]
    python = str(home / "bin" / "python")
    subprocess.run([sys.executable, "-m", "pip", "--python", python, *install], check=True)


def _link(each: Distribution, source: Path, link: Path, packages: Path) -> None:
    if source.is_dir() and not (source / "__init__.py").exists() and source.suffix == "":
        _link_shared(each, link, packages)
    elif source.name != "__pycache__":
        link.symlink_to(source)


def _link_shared(each: Distribution, folder: Path, packages: Path) -> None:
    """Only this distribution's own files of a folder that others have files in too."""
    for path in each.files or ():
        target = packages / path
        if path.parts[0] == folder.name and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.symlink_to(Path(str(each.locate_file(path))))


@pytest.fixture
def environment(farm: RealFarm) -> dict[str, str]:
    local = find_local(farm.data_dir)
    own = {"HELIOSTAT_ENDPOINT": local.endpoint, "HELIOSTAT_API_TOKEN": local.token}
    inherited = {k: v for k, v in clean_environment().items() if k != "PYTHONPATH"}
    return {**inherited, **own, "HELIOSTAT_DATA_DIR": os.devnull + "-none"}


def ran(command: list[str | Path], environment: dict[str, str], folder: Path) -> str:
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_nothing_of_the_extras_is_there(bare: Path, tmp_path: Path) -> None:
    script = "import importlib.util, sys; print(*filter(importlib.util.find_spec, sys.argv[1:]))"
    assert ran([bare / "python", "-P", "-c", script, *NEVER], {}, tmp_path) == "\n"


def test_the_command_line_submits_waits_and_fetches(
    bare: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "shots.csv").write_text("id,prompt,frames,size\na,a fox,33,64x64\n")
    submitted = ran(
        [bare / "farm", "submit", "shots.csv", "--wait", "--json"], environment, tmp_path
    )
    batch = json.loads(submitted)["batch"]
    assert batch["clips"]["done"] == 1
    ran([bare / "farm", "fetch", batch["batch_id"], "takes"], environment, tmp_path)
    assert len(list((tmp_path / "takes").glob("*.mp4"))) == 1


def test_the_snippets_of_the_documents_run(
    bare: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    text = (ROOT / "docs" / "sdk.md").read_text(encoding="utf-8")
    said = [
        ran([bare / "python", "-P", "-c", snippet], environment, tmp_path)
        for snippet in re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    ]
    assert len(said) == 3
    assert "2 takes in takes" in said[0]
    assert "NOT_FOUND" in said[1]
    assert "1 take, 2 cards" in said[2]
    assert len(list(tmp_path.glob("*/*.mp4"))) == 3


def test_the_demo_says_which_extras_it_needs(bare: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [bare / "farm", "demo"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "ray, sqlalchemy, swift" in done.stderr
    assert "pip install 'heliostat[head,node]'" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.timeout(900)
def test_the_demo_runs_from_the_wheel_in_an_empty_folder(whole: Path, tmp_path: Path) -> None:
    inherited = {k: v for k, v in clean_environment().items() if k != "PYTHONPATH"}
    elsewhere = {"HELIOSTAT_ENDPOINT": "nowhere.example:1"}  # another farm's settings do no harm
    script = "import farm, node_agent, heliostat.v1 as v; print(farm.__file__, v.__path__[0])"
    assert str(ROOT) not in ran([whole / "python", "-P", "-c", script], inherited, tmp_path)
    said = ran(
        [whole / "farm", "demo", "--clips", "1", "--json"], {**inherited, **elsewhere}, tmp_path
    )
    summary = json.loads(said)
    assert (summary["clips"], summary["frames"]) == (1, 66)
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]
    demo = tmp_path / "demo"
    assert json.loads((demo / "summary.json").read_text()) == summary
    [take] = (demo / "clips").glob("*.mp4")
    shown = read_chunks(np.stack(list(pictures(take))))
    # "On a white ground, a red disc moves left."
    assert [(each.colour, each.ground) for each in shown] == [("red", "white")] * 2
    assert (demo / "contact-sheet.png").stat().st_size > 1000
    assert_nothing_left(HeadSettings.load(demo / "farm"))
