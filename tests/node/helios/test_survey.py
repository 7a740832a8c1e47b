"""What profiles need and what a machine makes of them, as `farm-node profiles` says it."""

import json

import pytest
import torch
from typer.testing import CliRunner

from node_agent.cli import app
from node_agent.cli.profiles import here, machine, qualities
from node_agent.models import ModelError
from node_agent.models.info import QUANTISED
from node_agent.render.helios import survey as survey_module
from node_agent.render.helios.placement import Caps, Room
from node_agent.render.helios.random_weights import RandomWeights
from node_agent.render.helios.survey import DirectoryShape, survey
from tests.node.helios.small import SMALL, SMALL_VAE

GB = 10**9
REAL, SMALL_SHAPE = RandomWeights(), RandomWeights(SMALL, SMALL_VAE)


@pytest.fixture
def on(monkeypatch):
    """A survey of a machine: a GPU of a compute capability, and what is free now."""

    def look(vram, ram, capability=(8, 9), shape=REAL, caps=None):
        name = "NVIDIA GeForce RTX 4060 Ti"
        cuda = {
            "is_available": lambda: True,
            "device_count": lambda: 1,
            "get_device_capability": lambda _=None: capability,
            "get_device_name": lambda _=None: name,
        }
        monkeypatch.setattr(torch.version, "cuda", "13.0")
        for function, answer in cuda.items():
            monkeypatch.setattr(torch.cuda, function, answer)
        free = Room(round(vram * GB), round(ram * GB))
        monkeypatch.setattr(survey_module, "room", lambda *_: free)
        return survey(shape, "cuda:0", caps or Caps())

    return look


def said(found):
    return {row.profile: here(row, found) for row in found.profiles}


def refusals(found):
    return {row.profile: row.refusal for row in found.profiles}


def test_what_is_needed_is_counted(on):
    exact, fast, fp8 = (row.needs for row in on(24, 64).profiles)
    assert (exact.weights_bytes, fast.weights_bytes) == (28_683_223_424, 17_334_694_272)
    for needs, capability, numbers in (
        (exact, (8, 0), ("6.0", "31.4", "33.0")),
        (fast, (8, 0), ("6.0", "20.1", "21.6")),
        (fp8, (8, 9), ("6.0", "20.1", "21.6")),
    ):
        sizes = needs.vram_min_bytes, needs.ram_at_vram_min_bytes, needs.vram_resident_bytes
        assert needs.capability_min == capability
        assert tuple(f"{size / GB:.1f}" for size in sizes) == numbers


def test_the_needs_are_just_enough(on):
    def place(vram, ram=64 * GB):
        return on(vram / GB, ram / GB, shape=SMALL_SHAPE).profiles[1].place

    needs = on(24, 64, shape=SMALL_SHAPE).profiles[1].needs
    least, ram, whole = needs.vram_min_bytes, needs.ram_at_vram_min_bytes, needs.vram_resident_bytes
    assert place(least, ram).ram_bytes == ram
    assert place(least - 1) is None
    assert place(least, ram - 1) is None
    assert place(whole).ram_bytes == 0 < place(whole - 1).ram_bytes


def test_a_model_that_has_not_the_shapes_for_a_profile_is_told_so(on):
    found = on(24, 64, shape=SMALL_SHAPE)
    assert [row.needs is None for row in found.profiles] == [False, False, True]
    assert "multiples of 16" in refusals(found)["fast-fp8"]
    assert said(found)["fast-fp8"] == "not offered"


def test_a_card_with_room_for_all_says_so(on):
    found = on(80, 8)
    assert said(found) == {
        "exact": "loaded first: all on the card",
        "fast": "offered: all on the card",
        "fast-fp8": "offered: all on the card",
    }
    assert found.qualities == {"draft": "fast", "standard": "exact", "exact": "exact"}
    assert "cuda:0 (NVIDIA GeForce RTX 4060 Ti): 80.0 GB of GPU memory" in machine(found)


def test_a_cheap_machine_streams_and_says_what_it_does_not_offer(on):
    found = on(8, 26, capability=(8, 6))
    assert said(found) == {
        "exact": "not offered",
        "fast": "loaded first: streamed, 6 of 40 blocks stay; 17.7 GB of host RAM",
        "fast-fp8": "not offered",
    }
    assert "29.6 GB of host RAM" in refusals(found)["exact"]
    assert "fast-fp8 needs 8.9" in refusals(found)["fast-fp8"]
    assert found.qualities == {"draft": "fast", "standard": "fast", "exact": ""}
    assert qualities(found).endswith("standard: fast, exact: waits for another card")


def test_where_nothing_fits_every_profile_says_why(on):
    found = on(4, 16)
    assert (found.loaded, set(found.qualities.values())) == ("", {""})
    assert all("4.0 GB are there" in refusal for refusal in refusals(found).values())


def test_a_card_that_cannot_render_is_no_card(on):
    found = on(8, 26, capability=(7, 5))
    assert set(said(found).values()) == {"no card here"}
    assert "bfloat16 needs 8.0" in machine(found)
    assert found.profiles[0].needs.weights_bytes == 28_683_223_424


def test_where_there_is_no_card_a_cap_stands_in_for_it(on):
    found = on(16, 64, capability=(7, 5), caps=Caps(vram=16 * GB))
    assert (found.device, found.loaded) == ("card", "exact")
    assert "streamed, 33 of 40 blocks stay" in said(found)["fast-fp8"]
    assert "a card that is imagined: 16.0 GB" in machine(found)


def test_weights_that_are_stored_for_a_profile_have_that_one(on, model_directory, tmp_path):
    for name in ("model_index.json", "scheduler/scheduler_config.json", "transformer/config.json"):
        content = json.loads((model_directory() / name).read_text())
        if name.startswith("transformer"):
            content[QUANTISED] = {"profile": "fast", "format": 1}
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    found = on(8, 26, shape=DirectoryShape(tmp_path))
    assert said(found) == {"fast": "loaded first: all on the card"}
    assert found.qualities == {"draft": "fast", "standard": "fast", "exact": ""}


def test_a_cpu_offers_one_and_the_others_where_they_are_asked_for():
    found = survey(SMALL_SHAPE, "cpu", Caps())
    words = said(found)
    assert words["exact"].startswith("loaded first: all in the host's memory")
    assert words["fast"].startswith("only with --profile fast: all in the host's memory")


def run(*options):
    return CliRunner().invoke(app, ["profiles", *options], env={"COLUMNS": "120"})


def test_the_command_prints_a_table_of_a_models_profiles(model_directory):
    done = run("--model", str(model_directory()), "--device", "cpu")
    assert done.exit_code == 0, done.output
    for words in ("fast-fp8", "INT8; bfloat16 at both ends", "loaded first", "draft: exact"):
        assert words in done.output


def test_the_command_needs_neither_a_model_nor_a_card(monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", None)
    done = run()
    assert done.exit_code == 0, done.output
    for words in ("28.7", "6.0+31.4", "no card here", "built for CPUs", "--vram SIZE"):
        assert words in done.output
    told = json.loads(run("--json", "--vram", "6G").stdout)
    assert (told["model"], told["device"], told["vram_bytes"]) == (None, "card", 6 * GB)
    assert [row["needs"]["capability_min"] for row in told["profiles"]] == [[8, 0], [8, 0], [8, 9]]


def test_a_directory_without_a_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"model_index\.json: there is no such file"):
        DirectoryShape(tmp_path)
    assert isinstance(run("--model", str(tmp_path)).exception, ModelError)
