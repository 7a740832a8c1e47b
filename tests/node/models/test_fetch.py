"""A model comes over whole, bit for bit, whatever happens on the way, or not at all."""

import functools
import http.server
import json
import shutil
import socket
import threading
from collections import namedtuple

import pytest

from farm.fleet_ray.tls import ensure_certificate
from node_agent.models import (
    MANIFEST_NAME,
    ModelError,
    load_manifest,
    load_verified_lora,
    verify,
    write_manifest,
)
from node_agent.models import fetch as fetching
from node_agent.models.fetch import Patience, fetch, offered
from node_agent.models.serve import ModelServer, shelf
from node_agent.models.sources import HttpSource, Stumbled
from node_agent.models.stamps import Stamps
from node_agent.models.watch import Unwatched
from tests.fixtures.paper_model import WEIGHTS

HASTY = Patience(tries_max=3, corrupted_max=2, wait_seconds_max=0)


@pytest.fixture
def run():
    """Run a server while the test goes on."""
    servers = []

    def start(server):
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        servers.append((server, thread))
        return server

    yield start
    for server, thread in servers:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def model(build):
    """A model of some blocks, so that there is something to break off in."""
    directory = build(floats=1_500_000)
    write_manifest(directory, name="helios-paper", revision="abc123")
    return directory


class Directory:
    """A source over a directory, with what a test wants to go wrong."""

    address = "test://neighbour/model"

    def __init__(self, directory, block=1 << 20):
        self.directory = directory
        self.block = block
        self.asked = []

    def manifest(self):
        return (self.directory / MANIFEST_NAME).read_bytes()

    def read(self, path, offset):
        self.asked.append((path, offset))
        content = (self.directory / path).read_bytes()
        for start in range(offset, len(content), self.block):
            yield self.spoil(path, start, content[start : start + self.block])

    def spoil(self, path, start, block):
        return block


def bring(source, target, **options):
    return fetch(source, offered(source), target, patience=HASTY, **options)


def same(one, other):
    paths = [file.path for file in load_manifest(one).files]
    return all((one / path).read_bytes() == (other / path).read_bytes() for path in paths)


def left_over(target):
    return [path for path in target.parent.iterdir() if path.name.startswith(f".{target.name}")]


def test_a_model_comes_from_a_neighbour_with_the_same_digest(run, model, tmp_path):
    server = run(ModelServer(shelf(model), token="secret"))
    target = tmp_path / "here" / "copy"
    assert bring(HttpSource(f"{server.url}/model", token="secret"), target)
    assert verify(target) == []
    assert same(model, target)
    assert load_manifest(target).digest == load_manifest(model).digest
    assert not left_over(target)


def test_a_model_comes_over_tls_from_a_neighbour_whose_certificate_is_known(run, model, tmp_path):
    certificate = tmp_path / "cert.pem", tmp_path / "key.pem"
    ensure_certificate(*certificate, ["127.0.0.1"])
    server = run(ModelServer(shelf(model), token="secret", certificate=certificate))
    assert server.url.startswith("https://")
    source = HttpSource(f"{server.url}/model", token="secret", ca=certificate[0])
    bring(source, tmp_path / "copy")
    assert same(model, tmp_path / "copy")
    stranger = HttpSource(f"{server.url}/model", token="secret")
    with pytest.raises(ModelError, match="certificate"):
        bring(stranger, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_lora_comes_the_same_way(run, lora, tmp_path):
    write_manifest(lora, name="film-grain", revision="v2")
    server = run(ModelServer(shelf(lora)))
    bring(HttpSource(f"{server.url}/film-grain/"), tmp_path / "copy")
    assert load_verified_lora(tmp_path / "copy").name == "film-grain"


def test_a_plain_web_server_without_ranges_will_do(run, model, tmp_path):
    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(model))
    server = run(http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler))
    target = tmp_path / "copy"
    part = partial_of(target) / f"{WEIGHTS}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes((model / WEIGHTS).read_bytes()[:1000])
    bring(HttpSource(f"http://127.0.0.1:{server.server_address[1]}"), target)
    assert same(model, target)


def partial_of(target):
    return target.with_name(f".{target.name}.partial")


def test_what_was_fetched_need_not_be_read_again(model, tmp_path):
    stamps = tmp_path / "stamps.json"
    bring(Directory(model), tmp_path / "copy", stamps=stamps)
    known = Stamps(stamps)
    for file in load_manifest(model).files:
        assert known.known(tmp_path / "copy" / file.path) == file.sha256


def test_a_broken_connection_goes_on_where_it_broke(model, tmp_path):
    class Breaks(Directory):
        broken = 0

        def spoil(self, path, start, block):
            if path == WEIGHTS and start > 0 and self.broken < 4:
                self.broken += 1
                raise Stumbled("the line is dead")
            return block

    source = Breaks(model)
    bring(source, tmp_path / "copy")
    assert same(model, tmp_path / "copy")
    assert source.broken == 4, "more often than it would be asked in a row without a byte"
    offsets = [offset for path, offset in source.asked if path == WEIGHTS]
    assert offsets == [0] + [source.block] * 4, "the first block was asked for once"


def test_a_fetch_that_was_killed_goes_on_where_it_was(model, tmp_path):
    class Killed(Directory):
        def spoil(self, path, start, block):
            if path == WEIGHTS and start > 0:
                raise KeyboardInterrupt
            return block

    target = tmp_path / "copy"
    with pytest.raises(KeyboardInterrupt):
        bring(Killed(model), target)
    assert not target.exists(), "a model is there whole or not at all"
    source = Directory(model)
    bring(source, target)
    assert [offset for path, offset in source.asked if path == WEIGHTS] == [1 << 20]
    assert same(model, target)
    assert not left_over(target)


def test_a_source_that_gives_other_bytes_is_refused_and_named(model, tmp_path):
    class Flips(Directory):
        def spoil(self, path, start, block):
            return block if path != WEIGHTS else bytes([block[0] ^ 1]) + block[1:]

    source = Flips(model)
    with pytest.raises(ModelError) as refused:
        bring(source, tmp_path / "copy")
    assert f"{source.address}/{WEIGHTS}: has SHA-256" in str(refused.value)
    assert "fetch from another source" in str(refused.value)
    assert source.asked.count((WEIGHTS, 0)) == HASTY.corrupted_max
    assert not (tmp_path / "copy").exists()
    assert not (partial_of(tmp_path / "copy") / WEIGHTS).exists(), "it never got its name"
    bring(Directory(model), tmp_path / "copy")
    assert same(model, tmp_path / "copy")


def test_bytes_that_were_wrong_once_are_fetched_again(model, tmp_path):
    class FlipsOnce(Directory):
        def spoil(self, path, start, block):
            first = path == WEIGHTS and self.asked.count((WEIGHTS, 0)) == 1
            return block[:-1] + b"\0" if first else block

    bring(FlipsOnce(model), tmp_path / "copy")
    assert same(model, tmp_path / "copy")


def test_progress_ends_at_the_whole_size_whatever_had_to_be_done_again(model, tmp_path):
    class Sum(Unwatched):
        total = done = 0

        def begin(self, what, total):
            self.total, self.done = total, 0

        def advance(self, count):
            self.done += count

    class FlipsOnce(Directory):
        def spoil(self, path, start, block):
            first = path == WEIGHTS and self.asked.count((WEIGHTS, 0)) == 1
            return block[:-1] + b"\0" if first else block

    watch = Sum()
    bring(FlipsOnce(model), tmp_path / "copy", watch=watch)
    assert watch.done == watch.total == load_manifest(model).size


@pytest.mark.parametrize("change", [-1, 1])
def test_a_file_of_another_length_is_refused(model, tmp_path, change):
    class Longer(Directory):
        def read(self, path, offset):
            content = (self.directory / path).read_bytes()
            content = content + b"x" if change > 0 else content[:-1]
            yield content[offset:]

    with pytest.raises(ModelError, match=r"longer than|ended after"):
        bring(Longer(model), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_source_that_is_not_there_is_named(tmp_path, free_port):
    source = HttpSource(f"http://127.0.0.1:{free_port}/model")
    with pytest.raises(ModelError, match=rf"127\.0\.0\.1:{free_port}/model/{MANIFEST_NAME}"):
        offered(source, patience=HASTY)


@pytest.fixture
def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def test_another_digest_is_refused_before_anything_is_fetched(model):
    source = Directory(model)
    with pytest.raises(ModelError, match=f"wanted is {'0' * 64}"):
        offered(source, digest="0" * 64)
    assert offered(source, digest=load_manifest(model).digest)
    assert source.asked == []


@pytest.mark.parametrize("path", ["hook.py", "../outside.json", "weights.bin"])
def test_a_manifest_that_names_what_no_model_may_have_is_refused(model, path):
    file = model / MANIFEST_NAME
    content = json.loads(file.read_text())
    content["files"][0]["path"] = path
    file.write_text(json.dumps(content))
    with pytest.raises(ModelError, match=path.replace(".", r"\.")):
        offered(Directory(model))


def test_weights_that_are_none_are_refused_though_the_hash_is_right(model, tmp_path):
    from hashlib import sha256

    pickled = b"\x80\x04cos\nsystem\n."
    (model / WEIGHTS).write_bytes(pickled)
    content = json.loads((model / MANIFEST_NAME).read_text())
    entry = next(entry for entry in content["files"] if entry["path"] == WEIGHTS)
    entry.update(size=len(pickled), sha256=sha256(pickled).hexdigest())
    (model / MANIFEST_NAME).write_text(json.dumps(content))
    with pytest.raises(ModelError, match="not safetensors"):
        bring(Directory(model), tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_model_that_is_there_is_not_fetched_again(model, tmp_path):
    bring(Directory(model), tmp_path / "copy")
    source = Directory(model)
    assert not bring(source, tmp_path / "copy")
    assert source.asked == []


def test_a_damaged_copy_is_repaired_by_what_it_lacks(model, tmp_path):
    target = tmp_path / "copy"
    bring(Directory(model), target)
    content = bytearray((target / WEIGHTS).read_bytes())
    content[-1] ^= 1
    (target / WEIGHTS).write_bytes(content)
    (target / "hook.py").write_text("")
    source = Directory(model)
    assert bring(source, target)
    assert source.asked == [(WEIGHTS, 0)]
    assert verify(target) == []


def test_what_else_is_in_the_directory_is_left_alone(model, build, tmp_path):
    other = build("other", seed=1)
    write_manifest(other, name="other", revision="1")
    (tmp_path / "films").mkdir()
    (tmp_path / "films" / "film.mov").write_text("precious")
    for target, said in ((other, "holds another model"), (tmp_path / "films", "something else")):
        with pytest.raises(ModelError, match=said):
            bring(Directory(model), target)
    assert verify(other) == []
    assert (tmp_path / "films" / "film.mov").read_text() == "precious"


def test_a_short_disk_is_told_of_in_numbers_before_anything_is_fetched(
    model, tmp_path, monkeypatch
):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 5, 5))
    source = Directory(model)
    with pytest.raises(ModelError, match=rf"{load_manifest(model).size} bytes .* and 5 "):
        bring(source, tmp_path / "copy")
    assert source.asked == []


def test_two_fetches_of_the_same_do_not_mix(model, tmp_path):
    class Again(Directory):
        def read(self, path, offset):
            with pytest.raises(ModelError, match="another process is at work there"):
                bring(Directory(model), tmp_path / "copy")
            return super().read(path, offset)

    bring(Again(model), tmp_path / "copy")
    assert same(model, tmp_path / "copy")


def test_a_token_is_not_carried_to_where_a_server_points(run, model, tmp_path):
    seen = []

    class Points(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(self.path)
            self.send_response(302)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = run(http.server.ThreadingHTTPServer(("127.0.0.1", 0), Points))
    source = HttpSource(f"http://127.0.0.1:{server.server_address[1]}/m", token="secret")
    with pytest.raises(ModelError, match="answered 302"):
        offered(source, patience=HASTY)
    assert seen == [f"/m/{MANIFEST_NAME}"]


def test_a_token_in_an_address_is_refused_without_repeating_it():
    with pytest.raises(ModelError) as refused:
        HttpSource("http://me:hunter2@127.0.0.1/model")
    assert "hunter2" not in str(refused.value)


def test_files_come_several_at_once(model, tmp_path):
    together = threading.Barrier(2)

    class Waits(Directory):
        def read(self, path, offset):
            if path in ("model_index.json", "transformer/config.json"):
                together.wait(timeout=180)
            return super().read(path, offset)

    assert fetching.FILES_AT_ONCE > 1
    bring(Waits(model), tmp_path / "copy")
