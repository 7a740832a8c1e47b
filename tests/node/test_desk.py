"""The desk says what comes next, holds back what would run ahead, and bounds what waits."""

from __future__ import annotations

import threading

import pytest

from node_agent.render.desk import WAITING_MAX, Desk, Rendering
from node_agent.render.messages import Cancel, ProtocolError, Recorded, Report, Start, Stop, Yield
from node_agent.render.renderer import RenderSpec


def order(clip_id: str = "c", attempt: int = 1, frames: int = 330) -> Start:
    spec = RenderSpec(clip_id=clip_id, prompt="", frames=frames, height=64, width=64, seed=0)
    return Start(spec=spec, attempt=attempt, fps=24, directory="/nowhere")


@pytest.fixture
def said() -> list[Report]:
    return []


@pytest.fixture
def desk(said: list[Report]) -> Desk:
    return Desk(said.append, unrecorded_max=2)


def begun(desk: Desk, start: Start) -> Rendering:
    """An attempt whose first two chunks are begun."""
    desk.put(start)
    rendering = desk.next()
    assert isinstance(rendering, Rendering)
    assert desk.begin_chunks({rendering: 0})
    assert desk.begin_chunks({rendering: 1})
    return rendering


class Asking:
    """A thread that asks whether a chunk may begin."""

    def __init__(self, desk: Desk, rendering: Rendering, chunk: int) -> None:
        self.answer: bool | None = None
        self._thread = threading.Thread(target=self._ask, args=(desk, rendering, chunk))
        self._thread.start()

    def _ask(self, desk: Desk, rendering: Rendering, chunk: int) -> None:
        self.answer = bool(desk.begin_chunks({rendering: chunk}))

    def waits(self) -> bool:
        self._thread.join(0.2)
        return self._thread.is_alive()

    def result(self) -> bool | None:
        self._thread.join(30)
        return self.answer


def test_a_third_chunk_waits_for_the_first_to_be_recorded(desk):
    rendering = begun(desk, order())
    third = Asking(desk, rendering, 2)
    assert third.waits()
    for other in (("other", 1, 0), ("c", 2, 0), ("c", 1, 7)):
        desk.put(Recorded(clip_id=other[0], attempt=other[1], chunk=other[2]))
    assert third.waits()
    desk.put(Recorded(clip_id="c", attempt=1, chunk=0))
    assert third.result() is True


def test_the_limit_holds_for_all_clips_together(desk):
    first = begun(desk, order("a", frames=66))
    desk.end(first, forget=False)  # done, and its chunks are still on their way
    desk.put(order("b"))
    second = desk.next()
    asking = Asking(desk, second, 0)
    assert asking.waits()
    desk.put(Recorded(clip_id="a", attempt=1, chunk=1))
    assert asking.result() is True


@pytest.mark.parametrize(
    "ending", [Cancel(clip_id="c", attempt=1), Yield(clip_id="c", attempt=1), Stop()]
)
def test_whoever_waits_for_credit_is_told_of_the_end(desk, ending):
    rendering = begun(desk, order())
    third = Asking(desk, rendering, 2)
    assert third.waits()
    desk.put(ending)
    assert third.result() is False


def test_a_chunk_that_failed_or_was_dropped_holds_nobody_up(desk):
    rendering = begun(desk, order())
    desk.lost_chunk(rendering, 1)
    assert desk.begin_chunks({rendering: 2})
    assert desk.fail(rendering)
    assert not desk.fail(rendering), "reported once"
    desk.end(rendering, forget=True)
    begun(desk, order(attempt=2))


def test_clips_come_in_the_order_of_their_starts_and_none_after_a_stop(desk):
    for clip_id in ("a", "b", "c"):
        desk.put(order(clip_id))
    desk.put(Cancel(clip_id="b", attempt=1))
    assert [desk.next().key[0], desk.next().key[0]] == ["a", "c"]
    desk.put(order("d"))
    desk.put(Stop())
    assert desk.next() is None


def test_what_never_began_ends_at_once_and_says_so(desk, said):
    desk.put(order("a"))
    desk.put(order("b"))
    desk.put(Cancel(clip_id="a", attempt=1))
    desk.put(Yield(clip_id="b", attempt=1))
    assert [(report.kind, report.clip_id) for report in said] == [
        ("cancelled", "a"),
        ("yielded", "b"),
    ]


def test_an_agent_that_repeats_itself_or_floods_is_refused(desk):
    desk.put(order("twice"))
    with pytest.raises(ProtocolError, match="twice"):
        desk.put(order("twice"))
    with pytest.raises(ProtocolError, match=str(WAITING_MAX)):  # noqa: PT012
        for number in range(WAITING_MAX):
            desk.put(order(f"c{number}"))
