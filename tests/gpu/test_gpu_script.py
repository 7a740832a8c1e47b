"""The benchmark's script works, so that a machine that is lent for minutes is not spent on it."""

import gzip
import json
import os
import re
import subprocess
import sys
import time
import zipfile
from importlib.metadata import PackageNotFoundError, packages_distributions, requires
from pathlib import Path
from typing import ClassVar

import pytest
import torch

from bench.gpu import bare, child
from bench.gpu.cases import ONE, TWO, Case, Group, order, picked
from bench.gpu.child import Request
from bench.gpu.page import section
from bench.gpu.results import Results

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def rehearsed(tmp_path_factory):
    """The file that a rehearsal of two groups writes, as on a bare machine, and what it prints."""
    folder = tmp_path_factory.mktemp("gpu")
    out = folder / "results" / "small.json"
    words = ["--rehearse", "--groups", "stock-8G,exact-half", "--out", str(out)]
    ended = subprocess.run(
        [sys.executable, ROOT / "bench/gpu/bare.py", folder, *words],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return out, ended.stdout


def test_it_measures_a_small_model_on_a_cpu(rehearsed):
    out, printed = rehearsed
    results = Results.read(out)
    assert not results.without
    wanted = picked(order(), ["stock-8G", "exact-half"], lanes_max=2)
    names = [(group.name, case.name) for group in wanted for case in group.cases]
    assert [(case["group"], case["case"]) for case in results.cases] == names
    for case in results.cases:
        assert case["seconds_per_chunk"]["count"] == 2
        assert len(case["bytes_rss_by_round"]) == 2
        assert case["copies"] == (2 if case["slow"] else 1)
    assert "owed: no GPU" in printed
    [half] = [case for case in results.cases if case["group"] == "exact-half"]
    assert half["blocks_resident"] == half["blocks"] // 2


def test_the_parts_of_a_chunk_add_up(rehearsed):
    profiled = [case["parts"] for case in Results.read(rehearsed[0]).cases if "parts" in case]
    assert len(profiled) == 2
    for parts in profiled:
        named = ("matmul", "attention", "elementwise", "vae", "copies")
        busy = sum(parts[f"{part}_seconds"] for part in named)
        assert busy == pytest.approx(parts["seconds"] * (1 - parts["idle_share"]), rel=0.02)
        assert min(parts[f"{part}_seconds"] for part in ("matmul", "attention", "vae")) > 0


def test_a_trace_of_a_chunk_is_kept(rehearsed):
    out, _ = rehearsed
    [name] = [case["trace"] for case in Results.read(out).cases if "trace" in case]
    events = json.loads(gzip.decompress((out.parent / name).read_bytes()))["traceEvents"]
    assert {event["args"]["part"] for event in events} >= {"matmul", "vae"}


def test_the_figures_make_a_page(rehearsed):
    out, _ = rehearsed
    text = section(out.name, Results.read(out))
    assert "| exact-half | 2,2,2 x1 |" in text
    assert "**stock-8G, 2,2,2 x1**" in text


def test_a_later_call_measures_what_is_not_in_the_file_yet(rehearsed):
    out, _ = rehearsed
    before = Results.read(out)
    words = ["--rehearse", "--groups", "exact-half,exact-8G", "--minutes", "0", "--out", str(out)]
    subprocess.run([sys.executable, "-m", "bench.gpu", *words], cwd=ROOT, capture_output=True)
    after = Results.read(out)
    assert after.cases == before.cases
    assert {case["group"] for case in after.without} == {"exact-8G"}


def test_without_a_gpu_it_says_so_at_once(tmp_path):
    words = ["--device", "cuda:99", "--out", str(tmp_path / "none.json")]
    ended = subprocess.run(
        [sys.executable, "-m", "bench.gpu", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert ended.returncode == 1
    assert "cuda:99" in ended.stderr
    assert "--rehearse" in ended.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["none.log"]


@pytest.fixture
def said_by(monkeypatch):
    """What a child says of cases that a made-up subject measures."""

    class Subject:
        about: ClassVar = {"blocks": 1}

        def __init__(self, measure):
            self._measure = measure

        def measure(self, case, _trace):
            return {"seconds_per_chunk": {"median": self._measure(case)}}

    def run(measure, *cases):
        said = []
        monkeypatch.setattr(child, "_load", lambda *_: Subject(measure))
        group = Group(subject="exact", cases=cases)
        child.measure(asked([group], "cpu"), said.append)
        return said[1:]

    return run


def asked(groups, device, traces=""):
    return Request(
        groups=groups,
        scale="small",
        device=device,
        threads=1,
        deadline=time.time() + 60,
        copies=2,
        traces=traces,
        parent=os.getpid(),
    )


def test_lanes_that_have_no_room_are_halved(said_by):
    def measure(case):
        if case.lanes > 1:
            raise torch.OutOfMemoryError("out of memory\nand more")
        return 1.0

    said = said_by(measure, Case(steps=ONE, lanes=4), Case(steps=ONE))
    assert [(each["lanes"], each.get("failed", "")) for each in said] == [
        (4, "out of memory"),
        (2, "out of memory"),
        (1, ""),
    ]


def test_a_case_that_would_not_end_in_time_is_skipped(said_by):
    begun, skipped = said_by(lambda _: 100.0, Case(steps=ONE), Case(steps=TWO))
    assert "skipped" not in begun
    assert skipped["skipped"].startswith("takes about 600 s")


@pytest.mark.gpu
def test_a_small_model_is_measured_on_a_gpu(tmp_path):
    """All that only CUDA has: group offloading with a stream, page-locked slabs, kernels."""
    groups = picked(order(), ["stock-8G", "exact-half"], lanes_max=1)
    request = asked(groups, "cuda:0", str(tmp_path / "small"))
    said = subprocess.run(
        [sys.executable, "-m", "bench.gpu.child", request.to_json()],
        cwd=ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    about, *cases = map(json.loads, said.splitlines())
    assert about["copy"]["bytes_per_second_to_device_pinned"]["median"] > 0
    assert len(cases) == sum(len(group.cases) for group in groups)
    for case in cases:
        assert case["seconds_per_chunk"]["median"] > 0
        assert min(case["bytes_vram_by_round"]) > 0
        if "parts" in case:
            assert case["parts"]["copies_seconds"] > 0
            assert case["parts"]["vae_seconds"] > 0
            assert 0 < case["parts"]["idle_share"] < 1


def test_a_wheel_that_cannot_be_unpacked_is_refused(tmp_path):
    for name, inside in (("good", "good/__init__.py"), ("odd", "odd-1.data/scripts/odd")):
        with zipfile.ZipFile(tmp_path / f"{name}-1-py3-none-any.whl", "w") as wheel:
            wheel.writestr(inside, "")
    with pytest.raises(SystemExit, match="odd"):
        bare.unpack(tmp_path, tmp_path / "there")
    assert (tmp_path / "there" / "good" / "__init__.py").is_file()


def test_what_a_bare_machine_lacks_travels_as_wheels():
    script = (
        "import sys, bench.gpu.__main__, bench.gpu.ours, bench.gpu.stock\n"
        "print(*{name.partition('.')[0] for name, module in sys.modules.items()"
        " if 'site-packages' in str(getattr(module, '__file__', ''))})"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split()
    there, carried = closure(["torch", "transformers"]), set(pinned())
    providers = packages_distributions()
    of_loaded = {normal(name) for module in loaded for name in providers.get(module, [])}
    # accelerate takes boto3 along where it happens to be installed.
    lacking = of_loaded & locked().keys() - there - carried - closure(["boto3"])
    assert not lacking, "add to bench/gpu/wheels.txt"
    assert closure(carried) <= there | carried


def test_the_wheels_are_those_of_the_lock():
    assert pinned().items() <= locked().items()


def pinned():
    return versions(ROOT / "bench/gpu/wheels.txt")


def locked():
    return versions(ROOT / "requirements/cuda.lock")


def versions(requirements):
    text = requirements.read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==(\S+)", text, re.MULTILINE))


def normal(name):
    return name.lower().replace("_", "-")


def closure(names):
    """Distributions that these bring along, those that are not installed left out."""
    found, wanted = set(), list(names)
    while wanted:
        name = normal(wanted.pop())
        try:
            needs = [text for text in requires(name) or [] if "extra ==" not in text]
        except PackageNotFoundError:
            continue
        if name not in found:
            found.add(name)
            wanted += [re.split(r"[\[<>=!~; (]", text)[0] for text in needs]
    return found
