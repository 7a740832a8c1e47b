"""A fetch that is killed again and again has every byte in the end, and none of them twice."""

from __future__ import annotations

import hashlib
import http.server
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

import pytest

from farm.objects.s3 import S3ObjectStore
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types
from tests.fixtures.farm import PATIENCE_SECONDS
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures

CLIPS, SIZE, KILLS = 8, 6_000_000, 10
BLOCK, BLOCK_SECONDS = 16 << 10, 0.02
"""The pace of each connection: 0.8 MB/s, so that kills find downloads half way."""

_FETCH = """
import sys
from pathlib import Path
from farm.client.fetch import fetch
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types

page = pb.ListClipsResponse.FromString(Path(sys.argv[1]).read_bytes())
batch = types.Batch(batch_id="b", name="shots")
def pages(_batch_id, *, only, **_query):
    wanted = [c for c in page.clips if not only.clips or c.clip_id in only.clips]
    yield pb.ListClipsResponse(clips=wanted)
print("begins", flush=True)
fetched = fetch(pages, batch, Path(sys.argv[2]), lambda _progress: None)
print(fetched)
assert not fetched.failed, fetched.failed
"""


@dataclass
class Proxy:
    """What a proxy for GETs does, and did."""

    endpoint: str = ""
    sent: Counter[str] = field(default_factory=Counter)
    """Bytes that went to clients, by path."""
    flows: threading.Event = field(default_factory=threading.Event)
    """Bytes go on: stopped while a process starts, nobody is done before it, however slow it is."""
    block_seconds: float = BLOCK_SECONDS

    def pass_on(self, answer: IO[bytes], client: IO[bytes], path: str) -> None:
        while block := answer.read(BLOCK):
            self.flows.wait()
            client.write(block)
            self.sent[path] += len(block)
            time.sleep(self.block_seconds)


@contextmanager
def counting_proxy(upstream: str) -> Iterator[Proxy]:
    """Passes GETs on when and as fast as it is told."""
    proxy = Proxy()

    class Handler(http.server.BaseHTTPRequestHandler):
        def setup(self) -> None:
            # Bytes that wait in this machine's buffers count as sent: keep them few.
            self.request.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 << 10)
            super().setup()

        def do_GET(self) -> None:
            headers = {name: self.headers[name] for name in ("Host", "Range") if self.headers[name]}
            request = urllib.request.Request(f"{upstream}{self.path}", headers=headers)
            with urllib.request.urlopen(request) as answer:
                self.send_response(answer.status)
                for name in ("Content-Length", "Content-Range"):
                    if answer.headers[name]:
                        self.send_header(name, answer.headers[name])
                self.end_headers()
                try:
                    proxy.pass_on(answer, self.wfile, self.path.partition("?")[0])
                except OSError:
                    self.close_connection = True

        def log_message(self, *_args: object) -> None:
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        proxy.endpoint = f"http://127.0.0.1:{server.server_port}"
        try:
            yield proxy
        finally:
            proxy.flows.set()
            server.shutdown()
        thread.join()


def put_takes(store: S3ObjectStore, through: S3ObjectStore) -> pb.ListClipsResponse:
    """Takes in a real store, and the page that a gateway would list them on."""
    page = pb.ListClipsResponse()
    for n in range(CLIPS):
        video = hashlib.shake_256(str(n).encode()).digest(SIZE)
        clip = page.clips.add(
            clip_id=f"b-{n:05}", name=f"s{n}", version=1, state=types.CLIP_STATE_DONE, latest=True
        )
        clip.file_name = f"sq{n % 3}/s{n}_v001"
        sidecar = json.dumps({"clip": n}).encode()
        for kind, data in (("video", video), ("sidecar", sidecar)):
            artifact, key = getattr(clip.take, kind), f"p/b/s{n}/v001/{kind}"
            artifact.sha256, artifact.size_bytes = hashlib.sha256(data).hexdigest(), len(data)
            artifact.key = key
            store.put(key, data, "application/octet-stream")
            setattr(clip.take, f"{kind}_url", through.presign_get(key))
    return page


def begin(page: Path, directory: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    fetching = subprocess.Popen(
        [sys.executable, "-c", _FETCH, str(page), str(directory)],
        stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert fetching.stdout is not None
    assert fetching.stdout.readline() == "begins\n"
    return fetching


@pytest.mark.chaos
@pytest.mark.parametrize("others", [0, 1])
def test_a_fetch_killed_ten_times_downloads_nothing_twice(
    object_store: S3ObjectStore,  # noqa: F811 - the fixture
    tmp_path: Path,
    others: int,
) -> None:
    """With `others`, another process fetches into the same folder all the while."""
    directory, random_ = tmp_path / "takes", random.Random(6 + others)
    settings = object_store.settings
    with counting_proxy(settings.endpoint) as proxy:
        through = S3ObjectStore(replace(settings, endpoint=proxy.endpoint))
        page = put_takes(object_store, through)
        (tmp_path / "page").write_bytes(page.SerializeToString())
        beside = [begin(tmp_path / "page", directory) for _ in range(others)]
        killed = 0
        for _ in range(KILLS):
            proxy.flows.clear()
            fetching = begin(tmp_path / "page", directory)
            proxy.flows.set()
            try:
                fetching.wait(random_.uniform(0.05, 0.5))
            except subprocess.TimeoutExpired:
                fetching.send_signal(signal.SIGKILL)
                killed += 1
            fetching.communicate()
        proxy.block_seconds = 0.0
        for last in [*beside, begin(tmp_path / "page", directory)]:
            last.communicate(timeout=PATIENCE_SECONDS)
            assert last.returncode == 0
    assert killed >= KILLS // 2
    for clip in page.clips:
        for ext, artifact in (("mp4", clip.take.video), ("json", clip.take.sidecar)):
            data = (directory / f"{clip.file_name}.{ext}").read_bytes()
            assert hashlib.sha256(data).hexdigest() == artifact.sha256
    twice = sum(proxy.sent.values()) - sum(
        clip.take.video.size_bytes + clip.take.sidecar.size_bytes for clip in page.clips
    )
    assert 0 <= twice <= SIZE, f"{twice} bytes were sent more than once"
    takes = json.loads((directory / "manifest.json").read_text())["takes"]
    assert sorted(each["clip_id"] for each in takes) == [clip.clip_id for clip in page.clips]
    files = {path.name for path in directory.rglob("*") if path.is_file()}
    assert len(files) == 2 * CLIPS + 2, files
