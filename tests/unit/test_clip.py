"""A clip's state machine: what it allows, what it refuses, and what every history keeps."""

import runpy
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.domain.clip import (
    ENDED,
    TRANSITIONS,
    Approved,
    AttemptFailed,
    AttemptLost,
    Cancelled,
    ChunkRecorded,
    Clip,
    ClipState,
    Event,
    EventKind,
    Finished,
    GateReached,
    GiveUp,
    Holder,
    Leased,
    Ready,
    Rejected,
    Requeued,
    RetryAt,
    Steered,
    Work,
    Yielded,
    chunks_of,
    step,
)
from farm.domain.errors import InvalidTransition

ROOT = Path(__file__).parents[2]
HOLDER = Holder("card-a", "first")
RETRY, GIVE_UP = RetryAt(30.0), GiveUp("given up")

EXAMPLES: dict[EventKind, list[Event]] = {
    EventKind.READY: [Ready()],
    EventKind.LEASE: [Leased(HOLDER)],
    EventKind.CHUNK: [ChunkRecorded(1)],
    EventKind.DONE: [Finished()],
    EventKind.GATE: [GateReached()],
    EventKind.APPROVE: [Approved()],
    EventKind.REJECT: [Rejected("too dark")],
    EventKind.FAIL: [AttemptFailed("why", outcome, at_fault=True) for outcome in (RETRY, GIVE_UP)],
    EventKind.LOST: [AttemptLost("why", outcome, started=True) for outcome in (RETRY, GIVE_UP)],
    EventKind.YIELD: [Yielded()],
    EventKind.CANCEL: [Cancelled("called off")],
    EventKind.REQUEUE: [Requeued(), Requeued(waiting=True)],
    EventKind.STEER: [Steered()],
}
"""Every event that steps a clip; SUBMIT is how one comes to be."""


def clip_in(state: ClipState, **changes) -> Clip:
    """A clip of three chunks, one recorded; whole when it is done."""
    held = state in (ClipState.LEASED, ClipState.DONE)
    clip = Clip(
        clip_id="b-00001",
        batch_id="b",
        ordinal=1,
        frames=99,
        work=Work(384, 640),
        state=state,
        attempt=2,
        chunks_done=3 if state is ClipState.DONE else 1,
        losses=1,
        failures=1,
        blocked=("card-b",),
        holder=HOLDER if held else None,
        reason="before",
    )
    return replace(clip, **changes)


@pytest.mark.parametrize("kind", [kind for kind in EventKind if kind is not EventKind.SUBMIT])
@pytest.mark.parametrize("state", list(ClipState))
def test_every_pair_is_in_the_table_or_refused(state: ClipState, kind: EventKind):
    allowed = TRANSITIONS.get((state, kind))
    reached = set()
    for event in EXAMPLES[kind]:
        chunks_done = 3 if kind is EventKind.DONE else 1
        clip = clip_in(state, chunks_done=chunks_done)
        if allowed is None:
            with pytest.raises(InvalidTransition, match=f"b-00001 is {state}: {kind} is not"):
                step(clip, event)
        else:
            reached.add(step(clip, event).state)
    assert reached == (allowed or set())


def test_every_event_has_an_example_and_a_place_in_the_table():
    assert set(EXAMPLES) == set(EventKind) - {EventKind.SUBMIT}
    assert {kind for _, kind in TRANSITIONS} == set(EXAMPLES)
    for kind, events in EXAMPLES.items():
        assert {event.kind for event in events} == {kind}


def test_every_state_can_be_reached_and_only_done_is_final():
    reached = {ClipState.QUEUED, ClipState.WAITING}
    while (
        more := {to for (state, _), tos in TRANSITIONS.items() if state in reached for to in tos}
        - reached
    ):
        reached |= more
    assert reached == set(ClipState)
    assert set(ClipState) - {state for state, _ in TRANSITIONS} == {ClipState.DONE}


def test_what_has_ended_moves_only_when_somebody_asks():
    assert {kind for state, kind in TRANSITIONS if state in ENDED} == {EventKind.REQUEUE}
    assert all(clip_in(state).ended == (state in ENDED) for state in ClipState)


@pytest.mark.parametrize(
    ("frames", "chunks"), [(1, 1), (33, 1), (34, 2), (66, 2), (67, 3), (120, 4), (240, 8)]
)
def test_chunks_cover_the_frames(frames: int, chunks: int):
    assert chunks_of(frames) == chunks == clip_in(ClipState.QUEUED, frames=frames).chunks


def test_a_lease_is_a_new_attempt_with_a_holder():
    after = step(clip_in(ClipState.QUEUED, not_before=9.0), Leased(HOLDER))
    assert (after.attempt, after.holder, after.reason, after.not_before) == (3, HOLDER, "", 0.0)


@pytest.mark.parametrize("chunk", [0, 2, 3, -1])
def test_only_the_next_chunk_is_recorded(chunk: int):
    with pytest.raises(InvalidTransition):
        step(clip_in(ClipState.LEASED), ChunkRecorded(chunk))


def test_no_chunk_follows_the_last_and_no_take_comes_before_it():
    with pytest.raises(InvalidTransition):
        step(clip_in(ClipState.LEASED, chunks_done=3), ChunkRecorded(3))
    with pytest.raises(InvalidTransition):
        step(clip_in(ClipState.LEASED, chunks_done=2), Finished())


def test_progress_clears_both_budgets():
    after = step(clip_in(ClipState.LEASED), ChunkRecorded(1))
    assert (after.chunks_done, after.losses, after.failures) == (2, 0, 0)


@pytest.mark.parametrize(("at_fault", "input_failed"), [(True, ("card-a",)), (False, ())])
def test_a_failure_counts_and_blocks_its_card(at_fault: bool, input_failed: tuple):
    after = step(clip_in(ClipState.LEASED), AttemptFailed("no memory", RETRY, at_fault=at_fault))
    assert after.state is ClipState.QUEUED
    assert (after.failures, after.losses, after.chunks_done) == (2, 1, 1)
    assert after.blocked == ("card-b", "card-a")
    assert after.input_failed == input_failed
    assert (after.holder, after.not_before, after.reason) == (None, 30.0, "no memory")


def test_a_card_is_blocked_once():
    clip = clip_in(ClipState.LEASED, blocked=("card-a",))
    assert step(clip, AttemptFailed("again", RETRY, at_fault=False)).blocked == ("card-a",)


@pytest.mark.parametrize(("started", "losses"), [(True, 2), (False, 1)])
def test_a_loss_counts_only_when_rendering_had_begun(started: bool, losses: int):
    after = step(clip_in(ClipState.LEASED), AttemptLost("expired", RETRY, started=started))
    assert (after.losses, after.failures, after.blocked) == (losses, 1, ("card-b",))


@pytest.mark.parametrize(
    "event",
    [AttemptFailed("why", GIVE_UP, at_fault=False), AttemptLost("why", GIVE_UP, started=True)],
)
def test_giving_up_keeps_its_reason_and_what_was_rendered(event: Event):
    after = step(clip_in(ClipState.LEASED), event)
    assert (after.state, after.reason, after.chunks_done) == (ClipState.FAILED, "given up", 1)


@pytest.mark.parametrize("event", [Yielded(), Approved(), Ready()])
def test_going_back_to_the_queue_as_asked_spends_nothing(event: Event):
    [state] = [state for state, kind in TRANSITIONS if kind is event.kind]
    before = clip_in(state)
    assert step(before, event) == replace(before, state=ClipState.QUEUED, holder=None)


def test_a_requeued_clip_begins_anew_from_its_checkpoint():
    before = clip_in(ClipState.FAILED, input_failed=("card-b",), not_before=5.0)
    after = step(before, Requeued())
    assert (after.losses, after.failures, after.blocked, after.input_failed) == (0, 0, (), ())
    assert (after.attempt, after.chunks_done, after.reason) == (2, 1, "")


cards = st.sampled_from(["card-a", "card-b", "card-c"])
outcomes = st.one_of(
    st.builds(RetryAt, st.floats(0, 100)), st.builds(GiveUp, st.sampled_from(["budget", "input"]))
)
events = st.one_of(
    *[
        st.just(event)
        for kind in EXAMPLES
        for event in EXAMPLES[kind]
        if kind is not EventKind.FAIL
    ],
    st.builds(Leased, st.builds(Holder, cards, st.sampled_from(["i1", "i2"]))),
    st.builds(ChunkRecorded, st.integers(0, 4)),
    st.builds(AttemptFailed, st.text(max_size=3), outcomes, at_fault=st.booleans()),
    st.builds(AttemptLost, st.text(max_size=3), outcomes, started=st.booleans()),
)


@given(frames=st.integers(1, 140), steps=st.lists(events, max_size=60))
def test_every_history_keeps_its_promises(frames: int, steps: list[Event]):
    clip = Clip(clip_id="b-00001", batch_id="b", ordinal=1, frames=frames, work=Work(384, 640))
    for event in steps:
        try:
            after = step(clip, event)
        except InvalidTransition:
            continue
        assert after.state in TRANSITIONS[clip.state, event.kind]
        assert after.attempt == clip.attempt + (event.kind is EventKind.LEASE)
        assert after.chunks_done == clip.chunks_done + (event.kind is EventKind.CHUNK)
        assert after.chunks_done <= after.chunks
        assert (after.holder is not None) == (after.state in (ClipState.LEASED, ClipState.DONE))
        assert after.state is not ClipState.DONE or after.chunks_done == after.chunks
        assert set(after.input_failed) <= set(after.blocked)
        assert len(set(after.blocked)) == len(after.blocked)
        assert (after.clip_id, after.batch_id, after.frames) == ("b-00001", "b", frames)
        if event.kind is not EventKind.REQUEUE:
            assert set(clip.blocked) <= set(after.blocked)
        clip = after


def test_the_document_says_what_the_table_says():
    tool = runpy.run_path(str(ROOT / "tools" / "state_machine.py"))
    document = (ROOT / "docs" / "state-machine.md").read_text(encoding="utf-8")
    assert document == tool["page"](), "run tools/state_machine.py"
    drawn = {line.strip() for line in document.splitlines() if " --> " in line}
    for (state, kind), targets in TRANSITIONS.items():
        for target in targets:
            assert f"{state} --> {target}: {kind}" in drawn
    arrows = sum(map(len, TRANSITIONS.values()))
    assert len([line for line in drawn if "[*]" not in line]) == arrows
