"""The exchange is level-triggered: what is lost in either direction heals at the next one."""

from __future__ import annotations

import pytest

from farm.domain.clip import ClipState
from heliostat.v1 import node_service_pb2 as node_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import CardVoice, Ground

RECORDED = node_pb.Verdict.OUTCOME_RECORDED
STALE = node_pb.Verdict.OUTCOME_STALE
LATER = node_pb.Verdict.OUTCOME_LATER

FIRST = ("b1-00001", 1)


def outcomes(response: node_pb.ExchangeResponse) -> list[int]:
    return [verdict.outcome for verdict in response.verdicts]


def render(card: CardVoice, clip: tuple[str, int], chunks: int = 2) -> None:
    for chunk in range(chunks):
        assert outcomes(card.say(card.chunk(clip, chunk))) == [RECORDED]
    assert outcomes(card.say(card.take(clip))) == [RECORDED]


def test_a_clip_travels_from_the_queue_to_done(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    assert list(card.held) == [FIRST]
    render(card, FIRST)
    assert ground.states() == {ClipState.DONE: 1}
    assert ground.kinds("b1-00001") == ["submit", "lease", "chunk", "chunk", "done"]
    assert not card.held
    view, _ = ground.coordinator.fleet()
    assert (view.totals.clips_delivered, view.totals.frames_delivered) == (1, 66)


def test_chunk_and_take_may_come_in_one_exchange(ground: Ground) -> None:
    ground.submit(1, frames=33)
    card = ground.card("a")
    card.say()
    assert outcomes(card.say(card.chunk(FIRST, 0), card.take(FIRST, frames=33))) == [RECORDED] * 2
    assert ground.states() == {ClipState.DONE: 1}


def test_a_lost_reply_is_said_again(ground: Ground) -> None:
    """The card never heard of its lease: the next exchange grants the same attempt again."""
    ground.submit(1)
    card = ground.card("a")
    ground.coordinator.exchange([card.request()])  # the reply is lost
    card.say()
    assert list(card.held) == [FIRST]
    assert ground.clip("b1-00001").attempt == 1


def test_a_lost_reply_to_a_report_records_nothing_twice(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    entry = card.chunk(FIRST, 0)
    ground.coordinator.exchange([card.request(entry)])  # the reply is lost
    assert outcomes(card.say(entry)) == [RECORDED]
    assert ground.kinds("b1-00001") == ["submit", "lease", "chunk"]


def test_a_lost_reply_to_the_last_report_leaves_the_clip_done_once(ground: Ground) -> None:
    ground.submit(1, frames=33)
    card = ground.card("a")
    card.say()
    entries = card.chunk(FIRST, 0), card.take(FIRST, frames=33)
    ground.coordinator.exchange([card.request(*entries)])  # the reply is lost
    assert outcomes(card.say(*entries)) == [RECORDED] * 2
    assert ground.kinds("b1-00001") == ["submit", "lease", "chunk", "done"]
    assert not card.held


def test_reports_out_of_order_wait(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    second, first, take = card.chunk(FIRST, 1), card.chunk(FIRST, 0), card.take(FIRST)
    assert outcomes(card.say(take, second, first)) == [LATER, LATER, RECORDED]
    assert outcomes(card.say(take, second)) == [LATER, RECORDED]
    assert outcomes(card.say(take)) == [RECORDED]


def test_a_new_incarnation_takes_over_nothing(ground: Ground) -> None:
    """An agent that was started anew holds nothing: its leases go back at once, and its own."""
    ground.submit(1)
    old = ground.card("a")
    old.say()
    old.start_all()
    old.say()
    new = ground.card("a", incarnation="second")
    new.say()
    assert list(new.held) == [("b1-00001", 2)]
    assert ground.kinds("b1-00001") == ["submit", "lease", "lost", "lease"]


def test_an_old_incarnation_is_told_that_it_holds_nothing(ground: Ground) -> None:
    ground.submit(1)
    old = ground.card("a")
    old.say()
    ground.card("a", incarnation="second").say()
    response = old.say(old.chunk(FIRST, 0))
    assert outcomes(response) == [STALE]
    assert not response.wanted
    assert ground.clip("b1-00001").attempt == 2


def test_a_stale_report_is_told_so_and_changes_nothing(ground: Ground) -> None:
    ground.submit(1)
    slow, fast = ground.card("slow"), ground.card("fast")
    slow.say()
    slow.start_all()
    slow.say()
    ground.clock.time += 46
    assert ground.coordinator.tick() == 1
    fast.say()
    assert list(fast.held) == [("b1-00001", 2)]
    assert outcomes(slow.say(slow.chunk(FIRST, 0))) == [STALE]
    render(fast, ("b1-00001", 2))
    assert outcomes(slow.say(slow.take(FIRST))) == [STALE]
    ground.coordinator.tick()
    view, _ = ground.coordinator.fleet()
    assert view.totals.stale_reports == 2
    assert view.totals.clips_delivered == 1


def test_a_lease_lives_as_long_as_its_card_says_that_it_holds_it(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    for _ in range(10):
        ground.clock.time += 40
        card.say()
        assert ground.coordinator.tick() == 0
    card.capacity = 0
    card.held = {}
    for _ in range(5):  # heard of, but it does not hold it: the lease is nobody's
        ground.clock.time += 10
        ground.coordinator.exchange([card.request()])
    assert ground.coordinator.tick() == 1
    assert ground.states() == {ClipState.QUEUED: 1}


def test_a_heartbeat_that_changes_nothing_writes_nothing(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    events = len(ground.kinds("b1-00001"))
    commits: list[object] = []
    original = ground.coordinator.store.commit
    ground.coordinator.store.commit = lambda *a: commits.append(a) or original(*a)  # type: ignore[method-assign]
    for _ in range(5):
        card.frames_rendered += 33
        card.say()
    assert commits == []
    assert len(ground.kinds("b1-00001")) == events


def test_rendered_frames_are_counted_once_and_survive_a_restart(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    card.frames_rendered = 33
    card.say(card.chunk(FIRST, 0))
    card.say()
    card.coordinator = ground.restart()
    card.say()
    card.frames_rendered = 66
    card.say(card.chunk(FIRST, 1))
    view, _ = ground.coordinator.fleet()
    assert view.totals.frames_rendered == 66


def test_a_restart_gives_every_lease_a_full_lease_time(ground: Ground) -> None:
    """REL-3: no lease ends before one full lease time after the coordinator came back."""
    ground.submit(2)
    card = ground.card("a")
    card.say()
    ground.clock.time += 44
    card.coordinator = ground.restart()
    ground.clock.time += 44
    assert ground.coordinator.tick() == 0
    card.say()
    assert FIRST in card.held
    assert ground.clip("b1-00001").attempt == 1


def test_a_clock_that_jumps_ends_no_lease(ground: Ground) -> None:
    """Leases run on the monotonic clock: the wall clock may go back an hour."""
    ground.submit(1)
    ground.card("a").say()
    wall = ground.clock.now
    for jump in (-3600.0, 3600.0):
        ground.clock.now = lambda jump=jump: wall() + jump  # type: ignore[method-assign]
        assert ground.coordinator.tick() == 0
    assert ground.states() == {ClipState.LEASED: 1}


def test_a_dead_agent_gives_its_clips_back_at_once(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    assert ground.coordinator.lost("a", "another", "died") == 0
    assert ground.coordinator.lost("a", "first", "died") == 1
    assert ground.states() == {ClipState.QUEUED: 1}
    assert not ground.coordinator.fleet()[1][0].online


@pytest.mark.parametrize(("for_good", "held"), [(False, [("b1-00001", 2)]), (True, [])])
def test_what_a_dead_agent_gets_that_is_heard_again(
    ground: Ground, for_good: bool, held: list[tuple[str, int]]
) -> None:
    """A short break is over, and it works on. One that is about to end begins nothing: it would
    be lost once more. The next agent of the card does."""
    ground.submit(1)
    card = ground.card("a")
    card.say()
    ground.coordinator.lost("a", "first", "died", for_good=for_good)
    card.say()
    assert list(card.held) == held
    assert ground.coordinator.fleet()[1][0].online is not for_good
    new = ground.card("a", incarnation="second")
    new.say()
    assert list(new.held) == [("b1-00001", 3 - for_good)]


def test_a_clip_resumes_from_what_was_recorded(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    card.say(card.chunk(FIRST, 0))
    ground.coordinator.lost("a", "first", "died")
    other = ground.card("b")
    other.say()
    clip = ground.clip("b1-00001")
    assert (clip.attempt, clip.chunks_done) == (2, 1)
    assert outcomes(other.say(other.chunk(("b1-00001", 2), 1))) == [RECORDED]


def test_a_take_with_the_wrong_number_of_frames_is_not_taken(ground: Ground) -> None:
    ground.submit(1, frames=33)
    card = ground.card("a")
    card.say()
    response = card.say(card.chunk(FIRST, 0), card.take(FIRST, frames=32))
    assert outcomes(response) == [RECORDED, STALE]
    assert "32 frames instead of 33" in response.verdicts[1].reason
    assert ground.states().get(ClipState.DONE) is None


@pytest.mark.parametrize("batches", [1, 3])
def test_a_group_of_exchanges_is_one_commit(ground: Ground, batches: int) -> None:
    for number in range(batches):
        ground.submit(4, batch_id=f"b{number}")
    commits: list[object] = []
    original = ground.coordinator.store.commit
    ground.coordinator.store.commit = lambda *a: commits.append(a) or original(*a)  # type: ignore[method-assign]
    cards = [ground.card(name) for name in "abcd"]
    responses = ground.coordinator.exchange([card.request() for card in cards])
    assert all(response.wanted for response in responses)
    assert len(commits) == 1


def test_a_failed_commit_leaves_no_trace_in_memory(ground: Ground) -> None:
    """Disk full: nothing is acknowledged, and the next exchange finds the farm as it was."""
    ground.submit(1)
    card = ground.card("a")
    original = ground.coordinator.store.commit

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    ground.coordinator.store.commit = full  # type: ignore[method-assign]
    with pytest.raises(OSError, match="No space left"):
        card.say()
    ground.coordinator.store.commit = original  # type: ignore[method-assign]
    assert ground.states() == {ClipState.QUEUED: 1}
    card.say()
    assert list(card.held) == [FIRST]
    render(card, FIRST)
    assert ground.states() == {ClipState.DONE: 1}


def test_yield_spends_nothing(ground: Ground) -> None:
    ground.submit(1)
    card = ground.card("a")
    card.say()
    card.start_all()
    card.capacity = 0
    assert outcomes(card.say(card.entry(FIRST, yielded=node_pb.YieldReport()))) == [RECORDED]
    clip = ground.clip("b1-00001")
    assert (clip.state, clip.losses, clip.failures) == (ClipState.QUEUED, 0, 0)


def test_a_failed_clip_goes_elsewhere(ground: Ground) -> None:
    ground.submit(1)
    a, b = ground.card("a"), ground.card("b")
    b.capacity = 0
    b.say()
    a.say()
    a.say(a.failure(FIRST, types_pb.FAILURE_CLASS_NODE))
    ground.clock.time += 5
    a.say()
    assert not a.held  # it failed it, and another card is there
    b.capacity = 2
    b.say()
    assert list(b.held) == [("b1-00001", 2)]


def test_a_poison_clip_ends_with_its_reason_and_stops_no_card(ground: Ground) -> None:
    ground.submit(2)
    cards = [ground.card(name, capacity=0) for name in "ab"]
    for card in cards:
        card.say()
    for card in cards:
        card.capacity = 1
        ground.clock.time += 5
        card.say()
        poison = next(key for key in card.held if key[0] == "b1-00001")
        card.say(card.failure(poison, types_pb.FAILURE_CLASS_INPUT, "the prompt is empty"))
    clip = ground.clip("b1-00001")
    assert clip.state is ClipState.FAILED
    assert clip.reason == "the prompt is empty (found on 2 cards)"
    assert list(cards[0].held) == [("b1-00002", 1)]  # the first card went on at once


def test_the_loss_budget_counts_only_clips_that_had_begun(ground: Ground) -> None:
    ground.submit(1)
    for number in range(20):
        card = ground.card("a", incarnation=f"i{number}")
        card.say()
        ground.coordinator.lost("a", f"i{number}", "died")
    assert ground.states() == {ClipState.QUEUED: 1}
    for number in range(6):
        card = ground.card("a", incarnation=f"j{number}")
        card.say()
        card.start_all()
        card.say()
        ground.coordinator.lost("a", f"j{number}", "died")
    clip = ground.clip("b1-00001")
    assert clip.state is ClipState.FAILED
    assert "6 times in a row" in clip.reason


def test_a_malformed_report_harms_nobody_else(ground: Ground) -> None:
    """A chunk without its segment, one beyond the clip, an empty entry: stale, and that is all."""
    ground.submit(2)
    bad, good = ground.card("bad", capacity=1), ground.card("good", capacity=1)
    bad.say()
    good.say()
    (mine,), (theirs,) = bad.held, good.held
    no_segment = bad.entry(mine, chunk=node_pb.ChunkReport(chunk=0, frames=33))
    twice = bad.chunk(mine, 0)
    twice.chunk.artifacts.append(twice.chunk.artifacts[0])
    no_sidecar = bad.take(mine)
    no_sidecar.take.ClearField("sidecar")
    requests = [
        bad.request(no_segment, twice, no_sidecar, bad.entry(mine)),
        good.request(good.chunk(theirs, 0), good.chunk(theirs, 1), good.chunk(theirs, 2)),
    ]
    first, second = ground.coordinator.exchange(requests)
    assert outcomes(first) == [STALE] * 4
    assert outcomes(second) == [RECORDED, RECORDED, STALE]
