"""What the coordinator tells of queues, of itself, of alarms and of its cards, and no restart bends
it."""

from __future__ import annotations

import pytest

from farm.domain.batch import BatchState, Budget
from farm.domain.ledger import Totals
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import CardVoice, Ground


def overview(ground: Ground) -> fleet_pb.GetFleetResponse:
    return ground.coordinator.fleet()[0]


def queues(ground: Ground) -> dict[tuple[str, int], tuple[int, int, float]]:
    """(project, priority) → clips, chunks, seconds."""
    return {
        (each.project, each.priority): (each.clips, each.chunks, each.oldest_seconds)
        for each in overview(ground).queues
    }


def alarms(ground: Ground) -> dict[str, tuple[int, int, int, int]]:
    """Project → at risk, near, reached, failing."""
    return {
        each.project: (
            each.deadlines_at_risk, each.budgets_near, each.budgets_reached, each.failing
        )
        for each in overview(ground).alarms
    }  # fmt: skip


def begun(card: CardVoice) -> tuple[str, int]:
    card.say()
    card.start_all()
    card.say()
    return next(iter(card.held))


class TestQueues:
    def test_clips_and_chunks_that_wait_are_counted_by_project_and_priority(
        self, ground: Ground
    ) -> None:
        ground.submit(3, frames=99, batch_id="a")
        ground.submit(2, frames=33, batch_id="b", priority=5)
        ground.submit(4, batch_id="c", priority=5)
        ground.submit(9, batch_id="paused", project="q", state=BatchState.PAUSED)
        assert queues(ground) == {("p", 0): (3, 9, 0.0), ("p", 5): (6, 10, 0.0)}
        card = ground.card("a", capacity=1)
        card.say()
        assert sum(clips for clips, _, _ in queues(ground).values()) == 8
        ground.coordinator.lost("a", card.incarnation, "killed")
        assert queues(ground)["p", 5][:2] == (6, 10), "what was lost waits again"

    def test_what_a_checkpoint_has_does_not_wait(self, ground: Ground) -> None:
        ground.submit(1, frames=99)
        card = ground.card("a", capacity=1)
        clip = begun(card)
        card.say(card.chunk(clip, 0))
        assert not queues(ground)
        ground.coordinator.lost("a", card.incarnation, "killed")
        assert queues(ground)["p", 0][:2] == (1, 2)

    def test_the_age_is_that_of_the_batch_that_has_waited_longest(self, ground: Ground) -> None:
        ground.submit(2, batch_id="a")
        ground.tick(100)
        ground.submit(2, batch_id="b")
        ground.tick(10)
        assert queues(ground)["p", 0][2] == pytest.approx(110)

    def test_it_begins_anew_when_nothing_waited_meanwhile(self, ground: Ground) -> None:
        ground.submit(1)
        ground.tick(100)
        card = ground.card("a", capacity=1)
        card.say()
        ground.tick(1)
        ground.clock.time += 10
        ground.coordinator.lost("a", card.incarnation, "killed")
        ground.tick(0)
        ground.clock.time += 7
        assert queues(ground)["p", 0][2] == pytest.approx(7)

    def test_a_batch_that_comes_after_another_waits_from_then_on(self, ground: Ground) -> None:
        ground.submit(1, frames=33, batch_id="first")
        ground.submit(1, batch_id="then", after_batches=("first",))
        ground.tick(50)
        card = ground.card("a", capacity=1)
        card.render(begun(card), chunks=1)
        card.capacity = 0
        ground.tick(0)
        ground.clock.time += 5
        assert queues(ground) == {}, "its card took it at once"
        ground.coordinator.lost("a", card.incarnation, "killed")
        ground.tick(0)
        ground.clock.time += 5
        assert queues(ground)["p", 0][2] == pytest.approx(5)

    def test_a_restart_forgets_no_age(self, ground: Ground) -> None:
        ground.submit(2)
        ground.tick(100)
        ground.restart()
        assert queues(ground)["p", 0][2] == pytest.approx(100)
        ground.tick(1)
        assert queues(ground)["p", 0][2] == pytest.approx(101)


class TestStats:
    def test_leases_commits_and_ticks_of_this_start(self, ground: Ground) -> None:
        ground.submit(20)
        ground.card("a", capacity=2).say()
        ground.tick(ground.policy.lease_seconds + 1)
        told = overview(ground).coordinator
        assert (told.leases_granted, told.leases_expired, told.ticks) == (2, 2, 1)
        assert told.commits > 0
        assert told.started_at.seconds == 1_700_001_000
        ground.restart()
        after = overview(ground).coordinator
        assert (after.leases_granted, after.commits, after.ticks) == (0, 0, 0)
        assert after.started_at.seconds > told.started_at.seconds

    def test_memory_that_is_read_anew_keeps_them(self, ground: Ground) -> None:
        ground.submit(1)
        ground.card("a").say()
        ground.coordinator.books.read_anew()
        assert overview(ground).coordinator.leases_granted == 1

    def test_yields_that_were_asked_are_counted(self, ground: Ground) -> None:
        ground.submit(1, frames=330)
        card = ground.card("a", capacity=1)
        begun(card)
        ground.decide(batch_pb.PauseRequest(batch_id="b1", reason="lunch"))
        ground.tick()
        ground.tick()
        assert overview(ground).coordinator.yields_asked == 1

    def test_room_is_told_of_a_file_and_not_of_a_server(self, ground: Ground) -> None:
        has_file = ground.coordinator.store.free_bytes() is not None
        assert overview(ground).coordinator.HasField("ledger_free_bytes") == has_file


class TestTotals:
    def test_no_restart_takes_a_frame_back_or_counts_it_twice(self, ground: Ground) -> None:
        ground.submit(1, frames=330)
        card = ground.card("a", capacity=1)
        begun(card)
        shown = []

        def look() -> None:
            shown.append(overview(ground).totals.frames_rendered)

        for frames in (33, 66, 99):
            card.frames_rendered = frames
            card.say()  # a heartbeat, which writes nothing
            look()
            card.coordinator = ground.restart()
            look()
            card.say()
            look()
            ground.tick()
            look()
        assert shown == sorted(shown)
        assert shown[-1] == 99

    def test_what_is_shown_is_written_down_within_a_tick(self, ground: Ground) -> None:
        ground.card("a", frames_rendered=66).say()
        assert ground.coordinator.store.totals() == Totals()
        ground.tick()
        assert ground.coordinator.store.totals().frames_rendered == 66
        commits = overview(ground).coordinator.commits
        ground.tick()
        assert overview(ground).coordinator.commits == commits, "nothing is new"


class TestAlarms:
    def test_a_deadline_is_at_risk_until_it_can_be_kept(self, ground: Ground) -> None:
        ground.submit(1, batch_id="late", deadline=ground.clock.now() + 60)
        ground.submit(1, batch_id="calm", project="q")
        assert alarms(ground) == {}
        ground.tick()
        assert alarms(ground) == {"p": (1, 0, 0, 0)}
        ground.decide(batch_pb.AmendRequest(batch_id="late", no_deadline=True))
        assert alarms(ground) == {}

    @pytest.mark.parametrize(
        ("hours", "expected"),
        [(0.03, {}), (0.011, {"p": (0, 1, 0, 0)}), (0.01, {"p": (0, 0, 1, 0)})],
    )
    def test_a_budget_is_near_and_then_reached(
        self, ground: Ground, hours: float, expected: dict[str, tuple[int, int, int, int]]
    ) -> None:
        ground.submit(1, frames=330, budget=Budget(hours=hours))
        card = ground.card("a", seconds=36.0, capacity=1)
        card.say(card.chunk(begun(card), 0))
        assert alarms(ground) == expected

    def test_a_batch_that_is_paused_for_its_failures_is_failing(self, ground: Ground) -> None:
        ground.submit(3, failures_max=1)
        card = ground.card("a", capacity=1)
        card.say(card.failure(begun(card), types_pb.FAILURE_CLASS_INPUT))
        assert alarms(ground) == {"p": (0, 0, 0, 1)}
        ground.decide(batch_pb.ResumeRequest(batch_id="b1"))
        assert alarms(ground) == {}

    def test_one_that_a_person_paused_is_not(self, ground: Ground) -> None:
        ground.submit(3, failures_max=1)
        ground.decide(batch_pb.PauseRequest(batch_id="b1", reason="lunch"))
        assert alarms(ground) == {}


class TestCards:
    def test_a_card_tells_its_rack_its_circuit_and_what_it_should_make(
        self, ground: Ground
    ) -> None:
        ground.submit(1, frames=330)
        ground.decide(fleet_pb.SetCircuitRequest(name="B16", watts=3000))
        ground.decide(fleet_pb.SetNodeRequest(hostname="host", circuit="B16"))
        card = ground.card("a", seconds=4.0, capacity=1, report={"tags": ["quiet", "rack=a3"]})
        clip = begun(card)
        [told] = ground.coordinator.fleet()[1]
        assert (told.rack, told.circuit) == ("a3", "B16")
        card.say(card.chunk(clip, 0))
        [told] = ground.coordinator.fleet()[1]
        assert told.calibrated_frames_per_second == pytest.approx(33 / 4)
        ground.coordinator.lost("a", card.incarnation, "killed")
        [told] = ground.coordinator.fleet()[1]
        assert told.calibrated_frames_per_second == 0

    def test_its_clock_is_compared_with_the_coordinators(self, ground: Ground) -> None:
        card = ground.card("a")
        card.say()
        assert not ground.coordinator.fleet()[1][0].HasField("clock_ahead_seconds")
        request = card.request()
        request.sent_at.FromNanoseconds(int((ground.clock.now() + 90.5) * 1e9))
        ground.coordinator.exchange([request])
        assert ground.coordinator.fleet()[1][0].clock_ahead_seconds == pytest.approx(90.5)
