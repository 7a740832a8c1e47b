"""`farm-node model`: what a person sees and a script relies on."""

import http.server
import json
import os
import shutil
import subprocess
import sys
import threading

import pytest
from typer.testing import CliRunner

from node_agent.cli import app
from node_agent.models import MANIFEST_NAME, load_manifest, verify, write_manifest
from node_agent.models.serve import ModelServer, shelf
from tests.fixtures.hub import FakeHub
from tests.fixtures.paper_model import WEIGHTS


@pytest.fixture
def farm_node():
    def run(*words):
        return CliRunner().invoke(app, ["model", *map(str, words)])

    return run


@pytest.fixture
def neighbour(model):
    with ModelServer(shelf(model), token="secret") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"{server.url}/model"
        server.shutdown()
        thread.join()


def lines_of(listing):
    return [line.split() for line in listing.stdout.splitlines()[1:]]


def test_a_model_is_pinned_verified_and_listed(farm_node, build, own_home):
    directory = build("models/paper")
    pinned = farm_node("pin", directory, "--name", "helios-paper", "--revision", "v1", "--json")
    about = json.loads(pinned.stdout)
    assert (about["name"], about["kind"], about["revision"]) == ("helios-paper", "model", "v1")
    assert about["digest"] == load_manifest(directory).digest
    assert farm_node("verify", directory).exit_code == 0
    [row] = lines_of(farm_node("list"))
    assert row[:4] == ["helios-paper", "model", "distilled", about["digest"][:12]]
    assert "verified" in row


def test_pinning_again_keeps_what_it_was_called(farm_node, build):
    directory = build()
    farm_node("pin", directory, "--name", "helios-paper", "--revision", "v1")
    before = load_manifest(directory).digest
    farm_node("pin", directory)
    assert load_manifest(directory).digest == before


def test_a_list_says_what_is_known_without_reading(farm_node, build, lora, own_home):
    for name in ("new", "damaged", "broken"):
        write_manifest(build(f"models/{name}"), name=name, revision="1")
    shutil.move(lora, own_home / "grain")
    farm_node("pin", own_home / "grain")
    (own_home / "damaged" / WEIGHTS).write_bytes(b"")
    (own_home / "broken" / MANIFEST_NAME).write_text("{")
    (own_home / ".half.partial").mkdir()
    entries = json.loads(farm_node("list", "--json").stdout)
    states = {os.path.basename(entry["directory"]): entry["state"] for entry in entries}
    assert states == {
        "new": "unverified",
        "damaged": "damaged",
        "broken": "damaged",
        "grain": "verified",
    }
    assert {entry.get("kind") for entry in entries} == {"model", "lora", None}


def test_what_was_verified_is_not_when_it_has_changed(farm_node, build, own_home):
    directory = build("models/paper")
    farm_node("pin", directory)
    os.utime(directory / WEIGHTS)
    assert "unverified" in farm_node("list").stdout
    content = bytearray((directory / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (directory / WEIGHTS).write_bytes(content)
    assert farm_node("verify", directory).exit_code == 1
    assert "damaged" in farm_node("list").stdout


def test_damage_is_exit_code_1_with_a_line_for_each_problem(farm_node, model):
    (model / "hook.py").write_text("")
    (model / WEIGHTS).write_bytes(b"")
    found = farm_node("verify", model)
    assert found.exit_code == 1
    assert [line.partition(":")[0] for line in found.stderr.splitlines()[1:]] == [
        "hook.py",
        WEIGHTS,
    ]
    listed = json.loads(farm_node("verify", model, "--json").stdout)
    assert [problem["path"] for problem in listed] == ["hook.py", WEIGHTS]


def test_a_model_is_fetched_from_a_neighbour_by_its_digest(
    farm_node, model, neighbour, own_home, monkeypatch
):
    monkeypatch.setenv("HELIOSTAT_MODEL_TOKEN", "secret")
    digest = load_manifest(model).digest
    fetched = farm_node("fetch", neighbour, "--digest", digest, "--json")
    assert json.loads(fetched.stdout)["directory"] == str(own_home / "helios-paper")
    assert verify(own_home / "helios-paper") == []
    assert "verified" in farm_node("list").stdout
    assert "there already" in farm_node("fetch", neighbour).stderr


def test_the_token_may_stand_in_a_file(farm_node, neighbour, tmp_path):
    (tmp_path / "token").write_text("secret\n")
    fetched = farm_node("fetch", neighbour, tmp_path / "copy", "--token-file", tmp_path / "token")
    assert fetched.exit_code == 0
    assert verify(tmp_path / "copy") == []


def test_a_model_is_fetched_from_a_hub_into_the_models_directory(farm_node, build, own_home):
    with FakeHub("Owner/Helios-Paper") as hub:
        commit = hub.commit(build("published"))
        fetched = farm_node("fetch", "Owner/Helios-Paper", "--endpoint-url", hub.url)
    assert fetched.exit_code == 0
    assert f"main is {commit} now" in fetched.stderr
    assert load_manifest(own_home / "Helios-Paper").revision == commit


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["fetch", "nonsense"], "is no source"),
        (["fetch", "http://h/m", "--revision", "v1"], "--revision is for a hub"),
        (["fetch", "http://h/m", "--digest", "12ab"], "64 hexadecimal digits"),
        (["fetch", "Owner/Name", "--digest", "0" * 64], "--revision COMMIT"),
        (["pin", "nowhere"], "no such directory"),
        (["serve", "--cert", "c.pem"], "give both"),
    ],
)
def test_what_cannot_be_done_as_it_was_given_is_exit_code_2(farm_node, words, said):
    refused = farm_node(*words)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_an_error_is_a_line_and_exit_code_1(tmp_path):
    failed = subprocess.run(
        [sys.executable, "-m", "node_agent.cli", "model", "verify", tmp_path],
        capture_output=True,
        text=True,
    )
    assert failed.returncode == 1
    assert "no manifest" in failed.stderr
    assert "Traceback" not in failed.stderr


def test_a_fetch_that_was_killed_goes_on_where_it_was(build, tmp_path):
    model = build(floats=10_000_000)
    write_manifest(model, name="helios-paper", revision="1")
    held, ranges = threading.Event(), []

    class Holds(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            content = (model / self.path.removeprefix("/")).read_bytes()
            asked = self.headers.get("Range", "bytes=0-")
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            if self.path == f"/{WEIGHTS}":
                ranges.append(start)
                if len(ranges) == 1:
                    self.wfile.write(content[:30_000_000])
                    held.set()
                    self.rfile.read()  # until the other side is gone
                    return
            self.wfile.write(content[start:])

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Holds) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        command = [sys.executable, "-m", "node_agent.cli", "model", "fetch", url, tmp_path / "copy"]
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        assert held.wait(60)
        child.kill()
        child.wait()
        part = tmp_path / ".copy.partial" / f"{WEIGHTS}.part"
        came = part.stat().st_size
        assert not (tmp_path / "copy").exists()
        subprocess.run(command, check=True, capture_output=True)
        server.shutdown()
        thread.join()
    assert ranges == [0, came]
    assert came > 0
    assert verify(tmp_path / "copy") == []


def test_a_tiny_model_is_built_in_all_variants_and_again_only_by_force(farm_node, tmp_path):
    built = farm_node("tiny", tmp_path / "mid", "--variant", "mid", "--json")
    assert json.loads(built.stdout)["variant"] == "mid"
    assert farm_node("tiny", tmp_path / "mid").exit_code == 2
    again = farm_node("tiny", tmp_path / "mid", "--variant", "base", "--force", "--json")
    assert json.loads(again.stdout)["variant"] == "base"


def test_force_builds_over_no_other_model(farm_node, model):
    assert farm_node("tiny", model, "--force").exit_code == 2
    assert verify(model) == []


@pytest.mark.parametrize(("options", "variant"), [((), "base"), (("--distilled",), "distilled")])
def test_the_mini_models_are_copied_whole_and_over_nothing(farm_node, tmp_path, options, variant):
    said = farm_node("mini", tmp_path / "mini", *options, "--json")
    assert json.loads(said.stdout)["variant"] == variant
    assert verify(tmp_path / "mini") == []
    again = farm_node("mini", tmp_path / "mini", *options)
    assert again.exit_code == 2
    assert "not empty" in again.stderr
    assert verify(tmp_path / "mini") == []


def test_a_conversion_is_a_pinned_model(farm_node, tmp_path):
    farm_node("tiny", tmp_path / "whole")
    converted = farm_node("convert", tmp_path / "whole", tmp_path / "half", "--json")
    about = json.loads(converted.stdout)
    assert about["revision"].endswith(", converted to bfloat16")
    assert verify(tmp_path / "half") == []
