"""A reel that was fetched from a farm is one that `farm-node` works on, to the last bit."""

from __future__ import annotations

import functools
import http.server
import json
import os
import shutil
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from farm.cli.app import app
from farm.client import FetchFailed
from farm.client.reels import Reels
from heliostat.v1 import batch_service_pb2 as pb
from heliostat.v1 import types_pb2 as types
from node_agent.film import pictures
from node_agent.reel.reel import Reel, ReelFile, reel_of
from tests.node.reel.conftest import farm_node


class ListedReel(Reels):
    """A farm that has the chunks of one film, served from its reel's folder."""

    def __init__(self, film: Path) -> None:
        self.reel = Reel.open(reel_of(film))
        self.gets: Counter[str] = Counter()
        self.listed = True
        gets = self.gets

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                gets[self.path] += 1
                super().do_GET()

            def log_message(self, *_args: object) -> None:
                return None

        handler = functools.partial(Handler, directory=str(self.reel.folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)

    def chunks(self, clip_id: str) -> Iterator[pb.ListChunksResponse]:
        """As a gateway lists them, all on one page."""
        record = self.reel.record
        spec = types.ClipSpec(
            prompt=record.spec.prompt, frames=record.spec.frames, width=record.spec.width,
            height=record.spec.height, fps=record.fps, seed=record.spec.seed,
            steps=record.spec.steps, quality=record.spec.quality,
        )  # fmt: skip
        answer = pb.ListChunksResponse(clip=types.Clip(clip_id=clip_id, name="fox", spec=spec))
        for number, chunk in enumerate(record.chunks if self.listed else ()):
            files = {
                types.ARTIFACT_KIND_SEGMENT: chunk.segment,
                types.ARTIFACT_KIND_NEGATIVE: chunk.negative,
                types.ARTIFACT_KIND_INIT: record.init if number == 0 else None,
                types.ARTIFACT_KIND_EMBEDDINGS: record.embeddings if number == 0 else None,
            }
            answer.chunks.add(
                chunk=number,
                frames=chunk.frames,
                render_seconds=chunk.seconds,
                files=[self.stored(kind, number, file) for kind, file in files.items() if file],
            )
        yield answer

    def stored(self, kind: types.ArtifactKind.ValueType, chunk: int, file: ReelFile):
        artifact = types.Artifact(kind=kind, chunk=chunk, sha256=file.sha256, size_bytes=file.size)
        url = f"http://127.0.0.1:{self.server.server_port}/{file.name}"
        return pb.StoredFile(artifact=artifact, url=url)


@pytest.fixture
def farm(trimmed: Path) -> Iterator[ListedReel]:
    farm = ListedReel(trimmed)
    thread = threading.Thread(target=farm.server.serve_forever, args=(0.02,))
    thread.start()
    yield farm
    farm.server.shutdown()
    thread.join()
    farm.server.server_close()


@pytest.fixture
def fetched(trimmed: Path, tmp_path: Path) -> Path:
    """The film and its sidecar alone, as `farm fetch` leaves them."""
    film = tmp_path / "fox_v001.mp4"
    shutil.copyfile(trimmed, film)
    shutil.copyfile(trimmed.with_suffix(".json"), film.with_suffix(".json"))
    return film


def test_a_fetched_reel_decodes_to_the_very_take(
    farm: ListedReel, fetched: Path, trimmed: Path, model: Path
) -> None:
    folder = farm.fetch_reel("c1", fetched)
    assert folder == reel_of(fetched)
    Reel.open(folder).check_files()
    again = fetched.with_name("again.mp4")
    said = farm_node("redecode", fetched, "--out", again, "--model", model)
    assert said.code == 0, said
    assert again.read_bytes() == trimmed.read_bytes()


def test_what_is_there_is_not_fetched_again(farm: ListedReel, fetched: Path) -> None:
    folder = farm.fetch_reel("c1", fetched)
    (folder / "chunk-00001.safetensors").write_bytes(b"damaged")
    farm.fetch_reel("c1", fetched)
    Reel.open(folder).check_files()
    assert farm.gets.pop("/chunk-00001.safetensors") == 2
    assert set(farm.gets.values()) == {1}


def test_chunks_that_were_let_go_are_told_and_leave_nothing(
    farm: ListedReel, fetched: Path
) -> None:
    farm.listed = False
    with pytest.raises(FetchFailed, match=r"fox_v001.mp4: the farm has no negatives of it"):
        farm.fetch_reel("c1", fetched)
    assert not reel_of(fetched).exists()


def test_the_record_says_what_the_sidecar_says(farm: ListedReel, fetched: Path) -> None:
    record = Reel.open(farm.fetch_reel("c1", fetched)).record
    sidecar = json.loads(fetched.with_suffix(".json").read_text())
    assert record.model_digest == sidecar["model_digest"]
    assert json.loads(json.dumps(record.recipe)) == sidecar["recipe"]
    assert {chunk.stack_id for chunk in record.chunks} == {sidecar["stack_id"]}


def test_a_rendition_of_the_negatives_has_the_very_frames_that_were_rendered(
    trimmed: Path, studio, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in (trimmed, trimmed.with_suffix(".json")):
        shutil.copyfile(path, tmp_path / path.name)
    shutil.copytree(reel_of(trimmed), tmp_path / "trimmed.reel")
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent), prepend=os.pathsep)
    options = ["--out", tmp_path / "out", "--codec", "png", "--negatives", "--model", model]
    done = CliRunner().invoke(app, ["rendition", str(tmp_path), *map(str, options)])
    assert done.exit_code == 0, done.output
    assert "from the negatives" in done.output
    archive = studio.make("trimmed.mkv", "redecode", trimmed)
    pictures_made = sorted((tmp_path / "out" / "trimmed").iterdir())
    for path, frame in zip(pictures_made, pictures(archive), strict=True):
        with Image.open(path) as picture:
            assert np.array_equal(np.asarray(picture), frame)
    assert not list(tmp_path.glob(".master-*")), "no master stays behind"
