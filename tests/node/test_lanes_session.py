"""Lanes of one session do not disturb each other: they join, leave, fail and turn each for itself.

Reports that are not recorded hold the session still between two chunks, so that what a test does
there comes before the next chunk, whatever the threads' pace.
"""

from __future__ import annotations

import errno
import queue
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node_agent.files import write_atomic
from node_agent.render.desk import Desk
from node_agent.render.messages import (
    Cancel,
    Cancelled,
    Change,
    ChunkDone,
    Command,
    Done,
    Failed,
    Failure,
    Recorded,
    Report,
    Start,
    Steer,
    Stop,
    Yield,
    Yielded,
)
from node_agent.render.renderer import PromptMark, Renderer, RenderSpec
from node_agent.render.session import Session
from node_agent.render.testcard import TestCardRenderer

PATIENCE_SECONDS = 180
ENDINGS = (Done, Failed, Cancelled, Yielded)


class Stage:
    """A session on a thread of its own; the test is its agent."""

    def __init__(self, renderer: Renderer, lanes: int, folder: Path) -> None:
        self.folder = folder
        self.chunks: dict[str, list[ChunkDone]] = defaultdict(list)
        self.endings: dict[str, Report] = {}
        self._reports: queue.Queue[Report] = queue.Queue()
        self._desk = Desk(self._reports.put, 1, lanes)
        self._session = Session(renderer, self._desk, self._reports.put, lanes=lanes)
        self._thread = threading.Thread(target=self._session.run)

    def put(self, *commands: Command) -> None:
        for command in commands:
            self._desk.put(command)

    def begin(self, *starts: Start) -> None:
        """Let the session find these clips waiting."""
        self.put(*starts)
        self._thread.start()

    def order(self, clip_id: str, chunks: int = 2, *, prompt: str = "a heron", **more) -> Start:
        spec = RenderSpec(
            clip_id=clip_id,
            prompt=prompt,
            frames=33 * chunks,
            height=more.pop("height", 64),
            width=64,
            seed=len(clip_id),
            steps=(1, 1, 1),
            image=more.pop("image", ""),
        )
        directory = str(self.folder / more.pop("directory", clip_id))
        return Start(spec=spec, attempt=1, fps=24, directory=directory, **more)

    def until(self, reached: Callable[[], bool], *, record: bool = True) -> None:
        """Take reports in until it is so; chunks are recorded, or left for `record_all`."""
        while not reached():
            report = self._reports.get(timeout=PATIENCE_SECONDS)
            if isinstance(report, ChunkDone):
                self.chunks[report.clip_id].append(report)
                if record:
                    self._record(report)
            elif isinstance(report, ENDINGS):
                self.endings[report.clip_id] = report

    def first_chunks(self, *clip_ids: str) -> None:
        """Chunk 0 of each is done, and nothing goes on."""
        self.until(lambda: all(self.chunks[each] for each in clip_ids), record=False)

    def record_all(self) -> None:
        for chunk in [each for chunks in self.chunks.values() for each in chunks]:
            self._record(chunk)

    def until_ended(self, *clip_ids: str) -> None:
        self.until(lambda: self.endings.keys() >= set(clip_ids))

    def close(self) -> None:
        self.put(Stop())
        self._thread.join(PATIENCE_SECONDS)
        assert not self._thread.is_alive()

    def _record(self, done: ChunkDone) -> None:
        self.put(Recorded(clip_id=done.clip_id, attempt=done.attempt, chunk=done.chunk))


def content(chunk: ChunkDone) -> bytes:
    return Path(chunk.segment.path).read_bytes()


@pytest.fixture(scope="module")
def helios(tmp_path_factory: pytest.TempPathFactory) -> Renderer:
    from node_agent.render.helios.renderer import HeliosRenderer
    from node_agent.render.helios.tiny import build_tiny

    directory = tmp_path_factory.mktemp("models") / "helios-tiny"
    build_tiny(directory)
    return HeliosRenderer(directory, threads=1)


@pytest.fixture(params=["testcard", "helios"])
def renderer(request: pytest.FixtureRequest) -> Renderer:
    return TestCardRenderer() if request.param == "testcard" else request.getfixturevalue("helios")


@pytest.fixture
def stage_of(tmp_path: Path) -> Iterator[Callable[..., Stage]]:
    stages: list[Stage] = []

    def build(renderer: Renderer, lanes: int) -> Stage:
        stages.append(Stage(renderer, lanes, tmp_path / str(len(stages))))
        return stages[-1]

    yield build
    for stage in stages:
        stage.close()


@pytest.mark.parametrize("lanes", [2, 3])
def test_clips_join_when_a_lane_is_free_and_leave_when_they_are_whole(stage_of, renderer, lanes):
    stage = stage_of(renderer, lanes)
    chunks = {"a": 1, "bb": 3, "ccc": 2, "dddd": 1}
    stage.begin(*(stage.order(clip_id, count) for clip_id, count in chunks.items()))
    stage.until_ended(*chunks)
    assert all(isinstance(ending, Done) for ending in stage.endings.values())
    for clip_id, count in chunks.items():
        assert [chunk.chunk for chunk in stage.chunks[clip_id]] == list(range(count))
    if renderer.name == "helios":  # its lanes share a chunk; cards are drawn one by one
        side_by_side = [chunk.lanes for chunks in stage.chunks.values() for chunk in chunks]
        assert max(side_by_side) == lanes


@pytest.mark.parametrize("lanes", [2, 3])
def test_cards_drawn_in_lanes_are_the_cards_drawn_alone(stage_of, lanes):
    together, alone = stage_of(TestCardRenderer(), lanes), stage_of(TestCardRenderer(), 1)
    for stage in (together, alone):
        stage.begin(*(stage.order(clip_id, 2, prompt=clip_id) for clip_id in ("a", "bb", "ccc")))
        stage.until_ended("a", "bb", "ccc")
    for clip_id in ("a", "bb", "ccc"):
        pairs = zip(together.chunks[clip_id], alone.chunks[clip_id], strict=True)
        assert all(content(one) == content(other) for one, other in pairs)


@pytest.mark.parametrize("lanes", [2, 3])
def test_a_broken_image_fails_its_clip_alone_and_names_the_file(stage_of, helios, lanes, tmp_path):
    picture = tmp_path / "broken.png"
    picture.write_bytes(b"no picture")
    stage = stage_of(helios, lanes)
    stage.begin(stage.order("a"), stage.order("bad", image=str(picture)), stage.order("ccc"))
    stage.until_ended("a", "bad", "ccc")
    failed = stage.endings["bad"]
    assert (failed.failure, failed.fatal) == (Failure.INPUT, False)
    assert "broken.png" in failed.message
    assert not stage.chunks["bad"]
    for clip_id in ("a", "ccc"):
        assert isinstance(stage.endings[clip_id], Done)
        assert [chunk.lanes for chunk in stage.chunks[clip_id]] == [2, 2]


def test_a_clip_that_cannot_be_rendered_leaves_the_others_alone(stage_of, renderer):
    stage = stage_of(renderer, 2)
    stage.begin(stage.order("a"), stage.order("bad", height=100), stage.order("ccc"))
    stage.until_ended("a", "bad", "ccc")
    assert stage.endings["bad"].failure is Failure.INPUT
    assert all(isinstance(stage.endings[clip_id], Done) for clip_id in ("a", "ccc"))


@pytest.mark.parametrize(("command", "ending"), [(Cancel, Cancelled), (Yield, Yielded)])
@pytest.mark.parametrize("lanes", [2, 3])
def test_one_lane_is_taken_out_and_the_others_go_on(stage_of, renderer, lanes, command, ending):
    stage = stage_of(renderer, lanes)
    clip_ids = ["a", "bb", "ccc"][:lanes]
    stage.begin(*(stage.order(clip_id) for clip_id in clip_ids))
    stage.first_chunks(*clip_ids)
    stage.put(command(clip_id="a", attempt=1))
    stage.record_all()
    stage.until_ended(*clip_ids)
    assert isinstance(stage.endings["a"], ending)
    assert len(stage.chunks["a"]) == 1
    for clip_id in clip_ids[1:]:
        assert isinstance(stage.endings[clip_id], Done)
        assert len(stage.chunks[clip_id]) == 2


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_clip_stops_by_itself_behind_the_last_chunk_that_it_may_make(stage_of, renderer, lanes):
    """Nobody asks for a yield, and no chunk is begun in vain; the other clip goes on to its end."""
    stage = stage_of(renderer, lanes)
    stage.begin(stage.order("look", chunks=3, chunks_max=1), stage.order("whole", chunks=2))
    stage.until_ended("look", "whole")
    assert isinstance(stage.endings["look"], Yielded)
    assert isinstance(stage.endings["whole"], Done)
    assert [chunk.chunk for chunk in stage.chunks["look"]] == [0]


def test_a_limit_that_is_the_clips_end_is_a_limit(stage_of):
    """The take is not this attempt's to make; a limit beyond the end is none."""
    stage = stage_of(TestCardRenderer(), 1)
    stage.begin(
        stage.order("look", chunks=1, chunks_max=1), stage.order("far", chunks=1, chunks_max=2)
    )
    stage.until_ended("look", "far")
    assert isinstance(stage.endings["look"], Yielded)
    assert isinstance(stage.endings["far"], Done)


def test_a_disk_that_is_full_for_a_while_costs_no_chunk(stage_of, monkeypatch):
    """What is rendered is kept, and written when there is room (REL-6)."""
    refusals = [OSError(errno.ENOSPC, "No space left on device")] * 2

    def write(path: Path, content: bytes) -> None:
        if path.name == "chunk-00001.m4s" and refusals:
            raise refusals.pop()
        write_atomic(path, content)

    monkeypatch.setattr("node_agent.render.scribe.write_atomic", write)
    renderer = TestCardRenderer()
    stage = stage_of(renderer, 1)
    stage.begin(stage.order("a", chunks=2))
    stage.until_ended("a")
    assert not refusals
    assert isinstance(stage.endings["a"], Done)
    assert [chunk.chunk for chunk in stage.chunks["a"]] == [0, 1]


def test_a_change_of_prompt_reaches_the_next_chunk_of_its_lane_alone(stage_of, renderer):
    changed, plain = stage_of(renderer, 2), stage_of(renderer, 2)
    for stage in (changed, plain):
        stage.begin(stage.order("a"), stage.order("bb"))
        stage.first_chunks("a", "bb")
    change = Change(prompt="night falls", blend_chunks=1, number=7)
    changed.put(Steer(clip_id="a", attempt=1, change=change))
    for stage in (changed, plain):
        stage.record_all()
        stage.until_ended("a", "bb")

    def equal(clip_id: str) -> list[bool]:
        pairs = zip(changed.chunks[clip_id], plain.chunks[clip_id], strict=True)
        return [content(one) == content(other) for one, other in pairs]

    assert equal("a") == [True, False]
    assert equal("bb") == [True, True]
    mark = PromptMark(chunk=1, prompt="night falls", blend_chunks=1)
    assert [chunk.steered for chunk in changed.chunks["a"]] == [(), (mark,)]
    assert [chunk.changes for chunk in changed.chunks["a"]] == [(), (7,)]
    assert [chunk.steered for chunk in changed.chunks["bb"]] == [(), ()]


def test_changes_of_prompt_wait_for_their_chunks_and_the_last_of_several_counts(stage_of, renderer):
    """Also those that came before the clip; what is passed already counts from the next one on."""
    changes = (
        Change(prompt="night", blend_chunks=1, chunk=2, number=3),
        Change(prompt="rain", blend_chunks=1, number=2),
        Change(prompt="sun", blend_chunks=1, number=1),
    )
    stage = stage_of(renderer, 1)
    stage.begin(stage.order("a", chunks=4, changes=changes))
    stage.first_chunks("a")
    late = Change(prompt="snow", blend_chunks=1, chunk=0, number=4)
    stage.put(Steer(clip_id="a", attempt=1, change=late))
    stage.record_all()
    stage.until_ended("a")
    followed = stage.chunks["a"]
    assert [chunk.changes for chunk in followed] == [(1, 2), (4,), (3,), ()]
    marks = [(mark.chunk, mark.prompt) for mark in followed[-1].steered]
    assert marks == [(0, "rain"), (1, "snow"), (2, "night")]


def test_chunks_are_decoded_again_beside_a_clip_in_render(stage_of, helios):
    first = stage_of(helios, 1)
    first.begin(first.order("a"))
    first.until_ended("a")
    negatives = {chunk.chunk: chunk.negative.path for chunk in first.chunks["a"]}

    stage = stage_of(helios, 2)
    again = stage.order("a", 3, resume_chunk=2, negatives=negatives, redecode=(0, 1))
    stage.begin(again, stage.order("bb", 3))
    stage.until_ended("a", "bb")
    assert all(isinstance(ending, Done) for ending in stage.endings.values())
    assert [chunk.chunk for chunk in stage.chunks["a"]] == [0, 1, 2]
    for one, other in zip(stage.chunks["a"][:2], first.chunks["a"], strict=True):
        assert content(one) == content(other)
        assert (one.negative, one.lanes) == (None, 1)
    assert len(stage.chunks["bb"]) == 3
