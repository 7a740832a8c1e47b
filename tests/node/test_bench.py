"""A card's figures: a record that its schema allows, of what was measured and nothing else."""

import json
import re
import shlex
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import jsonschema
import pytest
import torch
from typer.testing import CliRunner

from node_agent.cli import app
from node_agent.models import ModelError
from node_agent.render.bench import chunks
from node_agent.render.bench.__main__ import measure
from node_agent.render.bench.figures import figure
from node_agent.render.bench.memory import MemoryWatch
from node_agent.render.bench.options import Options, parse
from node_agent.render.bench.subject import random_parts
from node_agent.render.helios.device import device_named
from node_agent.render.helios.model import HeliosModel
from node_agent.render.helios.placement import Room, plan_for
from node_agent.render.helios.prompts import PromptEncoder
from node_agent.render.helios.slabs.homes import Parted
from node_agent.render.helios.tiny import build_tiny

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "bench.schema.json").read_text())
GB = 10**9


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bench") / "model"
    return directory, build_tiny(directory).digest


def options(directory, **different):
    fields = {
        "model": directory,
        "device": "cpu",
        "width": 64,
        "height": 64,
        "steps": ((1, 1, 1),),
        "lanes": (1,),
        "chunks": 2,
        "threads": 1,
    }
    return Options(**{**fields, **different})


class Counter:
    """A meter that counts ten joules more at each reading."""

    joules = 0.0

    def read(self):
        self.joules += 10
        return self.joules


@pytest.fixture(scope="module")
def measured(model):
    return measure(options(model[0], steps=((2, 1, 1),), lanes=(1, 2)), Counter())


@pytest.fixture(scope="module")
def command_line(model, tmp_path_factory):
    """A run of the command itself: what it printed, and the record that it wrote."""
    out = tmp_path_factory.mktemp("out") / "record.json"
    words = ["bench", "--model", str(model[0]), "--size", "64x64", "--steps", "1,1,1"]
    done = CliRunner().invoke(
        app, [*words, "--lanes", "1", "--chunks", "2", "--out", str(out)], catch_exceptions=False
    )
    assert done.exit_code == 0
    return done.output, json.loads(out.read_text())


def numbers(record, path=""):
    """Every number of a record, with its path."""
    if isinstance(record, dict):
        for name, value in record.items():
            yield from numbers(value, f"{path}/{name}")
    elif isinstance(record, list):
        for value in record:
            yield from numbers(value, path)
    elif isinstance(record, int | float):
        yield path, record


def test_the_record_is_what_the_schema_says(measured, command_line, model):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    for record in (measured, command_line[1]):
        jsonschema.Draft202012Validator(SCHEMA).validate(record)
        assert record["model"]["weights"] == model[1]
        assert record["model"]["bytes_streamed_per_pass"] == 0
        assert record["model"]["profile"] == "exact"
        assert (record["model"]["compiled"], record["model"]["attention"]) == (False, "native")
        assert record["card"]["type"] == "cpu"


def test_every_measured_number_has_its_unit_in_its_name(measured):
    unit = re.compile(r"(seconds|bytes|frames|joules|share)(_|/|$)")
    plain = {"width", "height", "lanes", "steps", "count", "cores", "threads", "format_version"}
    plain |= {"guidance_scale", "passes_per_round", "blocks", "blocks_resident"}
    plain |= {"heads", "head_dim", "ffn_dim", "compiled"}
    for path, _ in numbers(measured):
        assert unit.search(path) or path.rsplit("/", 1)[1] in plain, path


def test_a_case_counts_its_passes_chunks_and_joules(measured):
    alone, together = measured["cases"]
    assert (alone["lanes"], together["lanes"]) == (1, 2)
    for case in (alone, together):
        sizes = [(stage["width"], stage["height"]) for stage in case["stages"]]
        assert sizes == [(16, 16), (32, 32), (64, 64)]
        assert [stage["passes_per_round"] for stage in case["stages"]] == [2, 1, 1]
        counts = [stage["seconds_per_pass"]["count"] for stage in case["stages"]]
        assert counts == [4, 2, 2]
        assert case["seconds_per_chunk"]["count"] == 2
        passes = sum(
            stage["seconds_per_pass"]["min"] * stage["passes_per_round"] for stage in case["stages"]
        )
        assert passes < case["seconds_per_round"]["max"]
        assert case["joules_per_chunk"]["median"] == 10 / case["lanes"]
        assert 0 < case["idle_share"] < 1
    rounds, chunks = together["seconds_per_round"], together["seconds_per_chunk"]
    assert rounds["max"] == 2 * chunks["max"]


def test_rounds_are_watched_and_one_more_can_be_rendered_apart(model):
    loaded, seen = HeliosModel(model[0], torch.device("cpu")), []

    @contextmanager
    def watch(name="counted"):
        seen.append(name)
        yield
        seen.append("over")

    record, _ = chunks.measure(
        loaded,
        PromptEncoder(loaded),
        options(model[0], chunks=2),
        (1, 1, 1),
        1,
        watch=watch,
        apart=watch("apart"),
    )
    assert seen == ["counted", "over", "counted", "over", "apart", "over"]
    assert record["seconds_per_round"]["count"] == 2
    assert record["stages"][0]["seconds_per_pass"]["count"] == 2


def test_what_a_cpu_does_not_have_is_absent(command_line):
    record = command_line[1]
    names = {path.rsplit("/", 1)[1] for path, _ in numbers(record)}
    assert not {name for name in names if "vram" in name or "joules" in name}
    assert "copy" not in record
    assert [each["precision"] for each in record["decode"]] == ["float32"]


def test_the_command_of_the_record_measures_the_same_again(measured, model):
    words = shlex.split(measured["command"])
    assert words[:2] == ["farm-node", "bench"]
    again, _ = parse([*words[2:], "--parent", "1"])
    assert again == options(model[0], steps=((2, 1, 1),), lanes=(1, 2))
    for compiled in (True, False):
        more = {"vram_bytes": 8 * GB, "ram_bytes": 26 * GB, "pageable": True, "compiled": compiled}
        capped = options(model[0], **more, profile="fast")
        again, _ = parse([*shlex.split(capped.command())[2:], "--parent", "1"])
        assert again == capped


def test_a_person_gets_a_table(command_line):
    printed, record = command_line
    pace = record["cases"][0]["seconds_per_chunk"]["median"]
    assert f"{pace:.3f}" in printed
    assert "1,1,1" in printed
    assert "encode" in printed


def test_the_command_line_never_loads_torch():
    script = "import sys, node_agent.cli; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["--random-weights", "--model", "x"], 2),
        ([], 2),
        (["--model", "/nowhere", "--size", "64x64"], 1),
        (["--model", "/nowhere", "--steps", "0"], 2),
        (["--model", "/nowhere", "--chunks", "1"], 2),
    ],
)
def test_what_cannot_be_measured_is_refused(words, code):
    assert CliRunner().invoke(app, ["bench", *words]).exit_code == code


def test_random_weights_go_where_there_is_room():
    parts = random_parts(torch.device("cuda:0"), Room(vram=8 * GB, ram=40 * GB))
    sizes = Parted.of(parts.empty_transformer(torch.bfloat16)).sizes
    assert sizes.total == pytest.approx(parts.transformer_bytes(torch.bfloat16), rel=1e-5)
    assert plan_for(sizes, Room(6 * GB, 40 * GB)).resident == 0
    assert plan_for(sizes, Room(16 * GB, 40 * GB)).resident == 16
    assert plan_for(sizes, Room(36 * GB, 0)).resident == 40


def test_random_weights_of_full_size_are_not_for_a_cpu():
    with pytest.raises(ModelError, match=r"57\.2 GB in float32 .* \(64\.0 GB of host RAM"):
        random_parts(torch.device("cpu"), Room(vram=0, ram=64 * GB))


def test_a_card_that_is_not_there_is_named():
    absent = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(ModelError, match=absent):
        device_named(absent)


def test_a_number_without_spread_is_no_figure():
    with pytest.raises(ValueError, match="have no spread"):
        figure([1.0])
    assert figure([3.0, 1.0, 2.0]) == {"median": 2.0, "min": 1.0, "max": 3.0, "count": 3}


def test_memory_in_use_is_seen():
    watch = MemoryWatch(torch.device("cpu"))
    with watch:
        before = watch.bytes_rss_peak
        held = torch.ones(64 << 20, dtype=torch.uint8)
        torch.sum(held)  # the watch looks again when it ends
    assert watch.bytes_rss_peak - before > 50 << 20
