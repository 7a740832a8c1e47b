"""A neighbour gives what its manifests name, to those who may have it, and nothing else."""

import http.client
import json
import threading
from urllib.parse import urlsplit

import pytest

from node_agent.models import MANIFEST_NAME, ModelError, load_manifest, write_manifest
from node_agent.models.serve import ModelServer, shelf
from node_agent.models.watch import Unwatched
from tests.fixtures.paper_model import WEIGHTS


@pytest.fixture
def served(model):
    """A server of the paper model, and how to ask it."""
    with Served(ModelServer(shelf(model), token="secret")) as server:
        yield server


class Served:
    def __init__(self, server):
        self.server = server
        self.thread = threading.Thread(target=server.serve_forever)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()

    def ask(self, path, method="GET", token="secret", **headers):
        parts = urlsplit(self.server.url)
        connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=180)
        if token:
            headers["Authorization"] = f"Bearer {token}"
        connection.request(method, path, headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, answer.headers, body


def test_the_files_of_the_manifest_and_the_manifest_itself_can_be_had(served, model):
    for path in (MANIFEST_NAME, *(file.path for file in load_manifest(model).files)):
        status, _, body = served.ask(f"/model/{path}")
        assert (status, body) == (200, (model / path).read_bytes())


def test_what_there_is_is_listed_with_its_digest(served, model):
    _, _, body = served.ask("/")
    manifest = load_manifest(model)
    about = {"name": "model", "digest": manifest.digest, "bytes": manifest.size}
    assert json.loads(body) == {"models": [about]}


@pytest.mark.parametrize(
    ("asked", "begin", "end"),
    [
        ("bytes=10-", 10, None),
        ("bytes=10-19", 10, 20),
        ("bytes=0-0", 0, 1),
        ("bytes=-7", -7, None),
        ("bytes=10-99999999", 10, None),
    ],
)
def test_a_range_is_that_part(served, model, asked, begin, end):
    whole = (model / WEIGHTS).read_bytes()
    status, headers, body = served.ask(f"/model/{WEIGHTS}", Range=asked)
    assert (status, body) == (206, whole[begin:end])
    first, _, rest = headers["Content-Range"].removeprefix("bytes ").partition("-")
    assert whole[int(first) : int(rest.split("/")[0]) + 1] == body
    assert int(rest.split("/")[1]) == len(whole)


def test_a_range_beyond_the_end_is_refused(served, model):
    size = (model / WEIGHTS).stat().st_size
    status, headers, _ = served.ask(f"/model/{WEIGHTS}", Range=f"bytes={size}-")
    assert (status, headers["Content-Range"]) == (416, f"bytes */{size}")


def test_a_head_is_the_answer_without_its_body(served, model):
    status, headers, body = served.ask(f"/model/{WEIGHTS}", method="HEAD")
    assert (status, body) == (200, b"")
    assert int(headers["Content-Length"]) == (model / WEIGHTS).stat().st_size


@pytest.mark.parametrize("token", ["", "wrong", "secret2"])
def test_without_its_token_nothing_can_be_had(served, token):
    for path in ("/", f"/model/{WEIGHTS}", "/nothing"):
        assert served.ask(path, token=token)[0] == 401


@pytest.mark.parametrize(
    "path",
    [
        "/model/late.json",
        "/model/../outside.json",
        "/model/%2e%2e/outside.json",
        "/model",
        "/outside.json",
    ],
)
def test_what_no_manifest_names_cannot_be_had(served, model, path):
    (model / "late.json").write_text("{}")
    (model.parent / "outside.json").write_text("{}")
    assert served.ask(path)[0] == 404


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE"])
def test_nothing_can_be_written(served, method):
    assert served.ask(f"/model/{WEIGHTS}", method=method)[0] == 501


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "render-7.example"])
def test_off_loopback_a_token_is_needed(model, host):
    with pytest.raises(ModelError, match="HELIOSTAT_MODEL_TOKEN"):
        ModelServer(shelf(model), host=host)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "render-7.example"])
def test_off_loopback_it_speaks_tls_unless_told_otherwise(model, host):
    with pytest.raises(ModelError, match="--cert and --key, or --plain-http"):
        ModelServer(shelf(model), host=host, token="secret")


def test_plain_http_is_there_for_whoever_asks_for_it(model):
    ModelServer(shelf(model), host="0.0.0.0", token="secret", plain=True).server_close()


def test_a_damaged_model_is_not_served_and_said_so(model, build):
    other = build("other", seed=1)
    write_manifest(other, name="other", revision="1")
    (other / WEIGHTS).write_bytes(b"")
    said = []

    class Watch(Unwatched):
        def say(self, text):
            said.append(text)

    stock = shelf(model.parent, watch=Watch())
    assert set(stock.manifests) == {"model"}
    assert not any(path.startswith("/other/") for path in stock.files)
    assert WEIGHTS in said[0]
    with pytest.raises(ModelError, match="no intact model"):
        shelf(other)
