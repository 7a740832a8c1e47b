"""Takes arrive whole, once, under names that every system can write, whatever the network does."""

from __future__ import annotations

import hashlib
import http.server
import json
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from farm.client import FetchFailed
from farm.client.fetch import Progress, fetch
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types


@dataclass
class Store:
    """An HTTP server with ranges and with URLs that expire, for a batch with takes in it."""

    objects: dict[str, bytes] = field(default_factory=dict)
    clips: list[types.Clip] = field(default_factory=list)
    gets: Counter[str] = field(default_factory=Counter)
    ranges: list[str] = field(default_factory=list)
    generation: int = 1
    """URLs of earlier generations have expired."""
    cut_after: int | None = None
    """The next answer ends after so many bytes."""
    flip: bool = False
    """The next answer has a wrong byte."""
    ignores_ranges: bool = False
    port: int = 0

    def add(self, name: str, video: bytes, *, done: bool = True, version: int = 1) -> None:
        clip_id = f"b-{len(self.clips) + 1:05}"
        clip = types.Clip(
            clip_id=clip_id,
            batch_id="b",
            name=name,
            version=version,
            state=types.CLIP_STATE_DONE if done else types.CLIP_STATE_QUEUED,
        )
        if done:
            sidecar = json.dumps({"name": name}).encode()
            for part, data in ((clip.take.video, video), (clip.take.sidecar, sidecar)):
                part.sha256, part.size_bytes = hashlib.sha256(data).hexdigest(), len(data)
                self.objects[f"{clip_id}-{part.sha256}"] = data
        self.clips.append(clip)

    def pages(
        self,
        batch_id: str,
        *,
        states: list[types.ClipState.ValueType],
        with_urls: bool,
        page_size: int,
        page_token: str = "",
    ) -> Iterator[pb.ListClipsResponse]:
        """As a gateway lists clips, ten at once."""
        assert batch_id == "b"
        start = int(page_token or 0)
        wanted = [clip for clip in self.clips if not states or clip.state in states]
        while True:
            page = pb.ListClipsResponse(clips=wanted[start : start + 10])
            for clip in page.clips if with_urls else ():
                base = f"http://127.0.0.1:{self.port}/{self.generation}/{clip.clip_id}-"
                clip.take.video_url = base + clip.take.video.sha256
                clip.take.sidecar_url = base + clip.take.sidecar.sha256
            start += 10
            if start < len(wanted):
                page.next_page_token = str(start)
            yield page
            if start >= len(wanted):
                return

    def answer(self, handler: http.server.BaseHTTPRequestHandler) -> None:
        _, generation, key = handler.path.split("/")
        if int(generation) != self.generation:
            handler.send_error(403, "expired")
            return
        self.gets[key] += 1
        data, start = self.objects[key], 0
        wanted = handler.headers.get("Range", "")
        if wanted and not self.ignores_ranges:
            self.ranges.append(wanted)
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
            handler.send_response(206)
            handler.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        else:
            handler.send_response(200)
        body = data[start:]
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        if self.flip and len(body) > 100:
            self.flip, body = False, bytes([body[0] ^ 1]) + body[1:]
        if self.cut_after is not None and len(body) > self.cut_after:
            body, self.cut_after = body[: self.cut_after], None
            handler.close_connection = True
        handler.wfile.write(body)


@pytest.fixture
def store() -> Iterator[Store]:
    store = Store()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            store.answer(self)

        def log_message(self, *_args: object) -> None:
            return None

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        store.port = server.server_port
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield store
        server.shutdown()
        thread.join()


BATCH = types.Batch(batch_id="b", name="shots")


def run(store: Store, directory: Path):
    return fetch(store.pages, BATCH, directory, lambda _progress: None)


def files(directory: Path) -> set[str]:
    return {path.name for path in directory.iterdir()}


def take(seed: int, size: int = 5_000) -> bytes:
    return hashlib.shake_256(str(seed).encode()).digest(size)


def test_takes_and_sidecars_arrive_under_their_names(store: Store, tmp_path: Path) -> None:
    names = ["shot_1", "Shot_1", "a/b", "con", "猫", "shot_1"]
    for n, name in enumerate(names):
        store.add(name, take(n), version=2 if n == 5 else 1)
    store.add("not yet", b"", done=False)
    fetched = run(store, tmp_path / "out")
    assert (fetched.clips, fetched.downloaded, fetched.failed) == (6, 12, [])
    stems = ["shot_1_v001", "Shot_1_v001~2", "a_b_v001", "con_v001", "猫_v001", "shot_1_v002"]
    expected = {f"{stem}.{ext}" for stem in stems for ext in ("mp4", "json")}
    assert files(tmp_path / "out") == {*expected, "manifest.json"}
    for n, stem in enumerate(stems):
        assert (tmp_path / "out" / f"{stem}.mp4").read_bytes() == take(n)
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    entry = manifest["files"]["a_b_v001.mp4"]
    assert (entry["clip"], entry["sha256"]) == ("a/b", hashlib.sha256(take(2)).hexdigest())


def test_a_name_does_not_depend_on_what_is_done_by_now(store: Store, tmp_path: Path) -> None:
    store.add("Shot", b"", done=False)
    store.add("shot", take(1))
    run(store, tmp_path)
    assert (tmp_path / "shot_v001~2.mp4").exists()


def test_what_is_there_is_not_fetched_again(store: Store, tmp_path: Path) -> None:
    for n in range(25):
        store.add(f"s{n}", take(n))
    assert run(store, tmp_path).downloaded == 50
    again = run(store, tmp_path)
    assert (again.clips, again.downloaded, again.unchanged) == (25, 0, 50)
    assert set(store.gets.values()) == {1}


def test_what_was_damaged_is_fetched_again(store: Store, tmp_path: Path) -> None:
    store.add("a", take(1))
    run(store, tmp_path)
    path = tmp_path / "a_v001.mp4"
    path.write_bytes(take(2))
    assert run(store, tmp_path).downloaded == 1
    assert path.read_bytes() == take(1)
    path.unlink()
    assert run(store, tmp_path).downloaded == 1


def test_a_broken_connection_goes_on_where_it_ended(store: Store, tmp_path: Path) -> None:
    store.add("a", take(1, 4_000_000))
    store.cut_after = 2_500_000
    fetched = run(store, tmp_path)
    assert (fetched.clips, fetched.failed) == (1, [])
    assert len(store.ranges) == 1
    assert int(store.ranges[0][6:-1]) > 1_000_000
    assert (tmp_path / "a_v001.mp4").read_bytes() == take(1, 4_000_000)
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize("ignores_ranges", [False, True])
def test_an_interrupted_fetch_goes_on_from_its_part(
    store: Store, tmp_path: Path, ignores_ranges: bool
) -> None:
    store.add("a", take(1))
    store.ignores_ranges = ignores_ranges
    (tmp_path / "a_v001.mp4.part").write_bytes(take(1)[:3000])
    assert run(store, tmp_path).failed == []
    assert store.ranges == ([] if ignores_ranges else ["bytes=3000-"])
    assert (tmp_path / "a_v001.mp4").read_bytes() == take(1)


@pytest.mark.parametrize("part", [take(9)[:3000], take(9), take(9, 9000)])
def test_a_part_of_something_else_is_no_take(store: Store, tmp_path: Path, part: bytes) -> None:
    store.add("a", take(1))
    (tmp_path / "a_v001.mp4.part").write_bytes(part)
    assert run(store, tmp_path).failed == []
    assert (tmp_path / "a_v001.mp4").read_bytes() == take(1)


def test_a_flipped_bit_is_noticed(store: Store, tmp_path: Path) -> None:
    store.add("a", take(1))
    store.flip = True
    assert run(store, tmp_path).failed == []
    assert (tmp_path / "a_v001.mp4").read_bytes() == take(1)
    assert max(store.gets.values()) == 2


def test_expired_urls_are_asked_for_again(store: Store, tmp_path: Path) -> None:
    for n in range(8):
        store.add(f"s{n}", take(n))
    asked = 0
    pages = store.pages

    def stale(batch_id: str, **query):
        nonlocal asked
        for page in pages(batch_id, **query):
            if query["with_urls"]:
                asked += 1
                if asked == 1:
                    store.generation += 1
            yield page

    fetched = fetch(stale, BATCH, tmp_path, lambda _progress: None)
    assert (fetched.clips, fetched.failed) == (8, [])
    assert asked <= 4


def test_what_cannot_be_had_is_told_and_the_rest_arrives(store: Store, tmp_path: Path) -> None:
    store.add("a", take(1))
    store.add("b", take(2))
    (tmp_path / "a_v001.mp4").write_bytes(b"my own file")
    fetched = run(store, tmp_path)
    assert fetched.clips == 1
    assert fetched.failed == [
        "a_v001.mp4: another file of this name is there already; move it away and fetch again"
    ]
    assert (tmp_path / "a_v001.mp4").read_bytes() == b"my own file"
    assert (tmp_path / "b_v001.mp4").read_bytes() == take(2)


def test_a_directory_is_one_batchs(store: Store, tmp_path: Path) -> None:
    store.add("a", take(1))
    run(store, tmp_path)
    other = types.Batch(batch_id="c", name="other")
    with pytest.raises(FetchFailed, match="holds the takes of batch b: choose another"):
        fetch(store.pages, other, tmp_path, lambda _progress: None)
    (tmp_path / "manifest.json").write_text("[]")
    with pytest.raises(FetchFailed, match="is not a list of fetched takes"):
        run(store, tmp_path)


def test_the_progress_adds_up(store: Store, tmp_path: Path) -> None:
    for n in range(12):
        store.add(f"s{n}", take(n))
    last = []

    def show(progress: Progress) -> None:
        last[:] = [progress.files_done, progress.files, progress.bytes_done, progress.bytes]

    fetch(store.pages, BATCH, tmp_path, show)
    assert last[:2] == [24, 24]
    assert last[2] == last[3] == sum(map(len, store.objects.values()))


def test_ctrl_c_keeps_what_is_there(store: Store, tmp_path: Path) -> None:
    for n in range(30):
        store.add(f"s{n}", take(n))
    pages = store.pages

    def interrupted(batch_id: str, **query):
        for page in pages(batch_id, **query):
            yield page
            if query["with_urls"]:
                raise AssertionError("a page is asked for alone")

    def second_page(batch_id: str, **query):
        if query["with_urls"] and query.get("page_token"):
            raise KeyboardInterrupt
        return interrupted(batch_id, **query)

    with pytest.raises(KeyboardInterrupt):
        fetch(second_page, BATCH, tmp_path, lambda _progress: None)
    assert len(json.loads((tmp_path / "manifest.json").read_text())["files"]) == 20
    assert run(store, tmp_path).downloaded == 40
