"""Copy, encode and write of a chunk run beside the next one's passes, and nothing is lost by it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from node_agent.render.desk import Desk
from node_agent.render.messages import (
    Cancel,
    Cancelled,
    ChunkDone,
    Done,
    Failed,
    Recorded,
    Start,
    Stop,
)
from node_agent.render.renderer import Clip, PendingChunk, RenderedChunk, RenderSpec
from node_agent.render.session import Session
from node_agent.render.testcard import TestCardRenderer
from node_agent.render.work_clock import WorkClock
from tests.node.test_work_clock import Hands

PATIENCE_SECONDS = 180


class LateCards(TestCardRenderer):
    """Chunks that are asked for at once, and are whole when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: list[int] = []
        self.waited: list[int] = []
        self.changed = threading.Condition()
        self.arrives: Callable[[int], bool] = lambda _index: True
        self.breaks: Exception | None = None

    def step(
        self, lanes: Sequence[Clip], cancelled: Callable[[Clip], bool]
    ) -> list[PendingChunk | None]:
        with self.changed:
            self.begun += [lane.next_chunk for lane in lanes]
            self.changed.notify_all()
        made = super().step(lanes, cancelled)
        return [chunk and PendingChunk(chunk.index, self._late(chunk)) for chunk in made]

    def _late(self, pending: PendingChunk) -> Callable[[], RenderedChunk]:
        def wait() -> RenderedChunk:
            with self.changed:
                assert self.changed.wait_for(lambda: self.arrives(pending.index), PATIENCE_SECONDS)
                self.waited.append(pending.index)
            if self.breaks:
                raise self.breaks
            return pending.wait()

        return wait


class Farm:
    """A session whose reports are recorded at once, or when the test says so."""

    def __init__(self, renderer: LateCards, folder: Path, *, records: bool = True, lanes: int = 1):
        self.reports: list[object] = []
        self.told = threading.Condition()
        self.folder = folder
        self.desk = Desk(self.hear, 2, lanes)
        self._records = records
        self.session = Session(renderer, self.desk, self.hear, lanes=lanes)
        self.result: list[bool] = []
        self.thread = threading.Thread(target=lambda: self.result.append(self.session.run()))

    def hear(self, report: object) -> None:
        with self.told:
            self.reports.append(report)
            self.told.notify_all()
        if self._records and isinstance(report, ChunkDone):
            self.record(report)

    def record(self, done: ChunkDone) -> None:
        self.desk.put(Recorded(clip_id=done.clip_id, attempt=1, chunk=done.chunk))

    def begin(self, chunks: int, *clip_ids: str) -> None:
        for clip_id in clip_ids or ("a",):
            spec = RenderSpec(
                clip_id=clip_id, prompt="a heron", frames=33 * chunks, height=64, width=64, seed=1
            )
            directory = str(self.folder / clip_id)
            self.desk.put(Start(spec=spec, attempt=1, fps=24, directory=directory))
        self.thread.start()

    def until(self, *kinds: type) -> object:
        """The first report of these kinds."""

        def found() -> object:
            return next((each for each in self.reports if isinstance(each, kinds)), None)

        with self.told:
            assert self.told.wait_for(found, PATIENCE_SECONDS), self.reports
            return found()

    def done(self) -> list[ChunkDone]:
        return [each for each in self.reports if isinstance(each, ChunkDone)]

    def close(self) -> bool:
        self.desk.put(Stop())
        self.thread.join(PATIENCE_SECONDS)
        return self.result[0]


def test_the_next_chunk_begins_before_this_one_is_whole(tmp_path: Path) -> None:
    """Each but the last arrives only once the next one is begun: it would never, otherwise."""
    cards = LateCards()
    cards.arrives = lambda index: index == 3 or index + 1 in cards.begun
    farm = Farm(cards, tmp_path)
    farm.begin(4)
    assert isinstance(farm.until(Done, Failed), Done)
    assert [chunk.chunk for chunk in farm.done()] == cards.waited == [0, 1, 2, 3]
    assert farm.close()


@pytest.mark.parametrize("lanes", [1, 2])
def test_no_more_than_two_chunks_of_a_lane_are_begun_and_not_recorded(
    tmp_path: Path, lanes: int
) -> None:
    cards = LateCards()
    cards.arrives = lambda _index: False
    farm = Farm(cards, tmp_path, records=False, lanes=lanes)
    farm.begin(5, *"ab"[:lanes])
    with cards.changed:
        assert cards.changed.wait_for(lambda: len(cards.begun) == 2 * lanes, PATIENCE_SECONDS)
        assert not cards.changed.wait_for(lambda: len(cards.begun) > 2 * lanes, 0.2)
        cards.arrives = lambda _index: True
        cards.changed.notify_all()
    farm.until(ChunkDone)
    with cards.changed:
        assert not cards.changed.wait_for(lambda: len(cards.begun) > 2 * lanes, 0.2)
    farm.close()


def test_a_clip_is_dropped_while_its_chunk_is_on_its_way(tmp_path: Path) -> None:
    cards = LateCards()
    cards.arrives = lambda index: index > 0
    farm = Farm(cards, tmp_path)
    farm.begin(3)
    with cards.changed:
        assert cards.changed.wait_for(lambda: 1 in cards.begun, PATIENCE_SECONDS)
    farm.desk.put(Cancel(clip_id="a", attempt=1))
    with cards.changed:
        cards.arrives = lambda _index: True
        cards.changed.notify_all()
    assert isinstance(farm.until(Done, Failed, Cancelled), Cancelled)
    assert 2 not in cards.begun
    assert 1 not in cards.waited, "what nobody wants is not waited for"
    assert farm.close(), "the card is as good as before"


@pytest.mark.parametrize(
    ("error", "fit"),
    [(RuntimeError("CUDA error: an illegal memory access"), False), (ValueError("odd"), True)],
)
def test_what_goes_wrong_on_the_way_fails_the_attempt(
    tmp_path: Path, error: Exception, fit: bool
) -> None:
    """And ends the child where the card is beyond use, also when it has nothing else to do."""
    cards = LateCards()
    cards.breaks = error
    farm = Farm(cards, tmp_path)
    farm.begin(1)
    failed = farm.until(Failed)
    assert isinstance(failed, Failed)
    assert (failed.fatal, failed.message) == (not fit, f"{type(error).__name__}: {error}")
    if not fit:
        farm.thread.join(PATIENCE_SECONDS)
    assert farm.close() is fit
    assert not farm.done()


class SlowCards(LateCards):
    """Each chunk takes 4 seconds of the card's clock, and the host 3 before it."""

    def __init__(self) -> None:
        super().__init__()
        self.hands = Hands()
        self.clock = WorkClock(self.hands)

    def step(
        self, lanes: Sequence[Clip], cancelled: Callable[[Clip], bool]
    ) -> list[PendingChunk | None]:
        def draw(clip: Clip) -> bool:
            self.hands.time += 4
            return cancelled(clip)

        self.hands.time += 3
        return super().step(lanes, draw)


def test_chunks_say_how_long_the_card_was_busy_and_idle(tmp_path: Path) -> None:
    farm = Farm(SlowCards(), tmp_path)
    farm.begin(3)
    farm.until(Done)
    told = [(each.busy_seconds, each.idle_seconds) for each in farm.done()]
    assert told == [(4, 0), (4, 3), (4, 3)]
    farm.close()
