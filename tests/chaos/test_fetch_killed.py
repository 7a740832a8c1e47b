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
from dataclasses import replace
from pathlib import Path

import pytest

from farm.objects.s3 import S3ObjectStore
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types
from tests.fixtures.object_store import embedded_store, object_store  # noqa: F401 - fixtures

CLIPS, SIZE, KILLS = 8, 6_000_000, 10
BLOCK, BLOCK_SECONDS = 16 << 10, 0.02
"""The pace of each connection: 0.8 MB/s, so that kills find downloads half way, and a process
beside is not done before them."""

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


@contextmanager
def counting_proxy(upstream: str) -> Iterator[tuple[str, Counter[str]]]:
    """Passes GETs on at a slow pace; counts the bytes that went to the client, by path."""
    sent: Counter[str] = Counter()

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
                    while block := answer.read(BLOCK):
                        self.wfile.write(block)
                        sent[self.path.partition("?")[0]] += len(block)
                        time.sleep(BLOCK_SECONDS)
                except OSError:
                    self.close_connection = True

        def log_message(self, *_args: object) -> None:
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", sent
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
    with counting_proxy(settings.endpoint) as (endpoint, sent):
        through = S3ObjectStore(replace(settings, endpoint=endpoint))
        page = put_takes(object_store, through)
        (tmp_path / "page").write_bytes(page.SerializeToString())
        beside = [begin(tmp_path / "page", directory) for _ in range(others)]
        killed = 0
        for _ in range(KILLS):
            fetching = begin(tmp_path / "page", directory)
            try:
                fetching.wait(random_.uniform(0.05, 0.5))
            except subprocess.TimeoutExpired:
                fetching.send_signal(signal.SIGKILL)
                killed += 1
            fetching.communicate()
        for last in [*beside, begin(tmp_path / "page", directory)]:
            last.communicate(timeout=60)
            assert last.returncode == 0
    assert killed >= KILLS // 2
    for clip in page.clips:
        for ext, artifact in (("mp4", clip.take.video), ("json", clip.take.sidecar)):
            data = (directory / f"{clip.file_name}.{ext}").read_bytes()
            assert hashlib.sha256(data).hexdigest() == artifact.sha256
    twice = sum(sent.values()) - sum(
        clip.take.video.size_bytes + clip.take.sidecar.size_bytes for clip in page.clips
    )
    assert 0 <= twice <= SIZE, f"{twice} bytes were sent more than once"
    takes = json.loads((directory / "manifest.json").read_text())["takes"]
    assert sorted(each["clip_id"] for each in takes) == [clip.clip_id for clip in page.clips]
    files = {path.name for path in directory.rglob("*") if path.is_file()}
    assert len(files) == 2 * CLIPS + 2, files
