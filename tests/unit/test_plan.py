"""The plan's rules: shard size, assignment, expiry, retries."""

from __future__ import annotations

import pytest

from farm.domain.clip import Clip, GiveUp, RetryAt, Work
from farm.plan.blocked import is_blocked
from farm.plan.policy import Policy
from farm.plan.retry import Failure, after_failure, after_loss
from farm.plan.split import is_fed, pause_seconds, shard_size
from farm.plan.sweep import expired

WORK = Work(384, 640, (2, 2, 2))
POLICY = Policy()


def clip(**changes: object) -> Clip:
    values: dict[str, object] = {
        "clip_id": "b1-00001", "batch_id": "b1", "ordinal": 1, "frames": 66, "work": WORK,
    }  # fmt: skip
    return Clip(**{**values, **changes})  # type: ignore[arg-type]


class TestShardSize:
    def test_an_idle_card_gets_the_last_clip(self) -> None:
        assert shard_size(capacity=2, held=0, queued=1, cards_online=62) == 1

    def test_the_last_clips_are_left_for_whoever_is_free_first(self) -> None:
        assert shard_size(capacity=2, held=1, queued=2, cards_online=2) == 0
        assert shard_size(capacity=2, held=1, queued=3, cards_online=2) == 1

    def test_a_long_queue_fills_the_card(self) -> None:
        assert shard_size(capacity=2, held=0, queued=1000, cards_online=2) == 2

    @pytest.mark.parametrize("queued", [0, 1, 5, 100])
    def test_a_card_that_is_not_ready_gets_nothing(self, queued: int) -> None:
        assert shard_size(capacity=0, held=0, queued=queued, cards_online=1) == 0

    def test_never_more_than_room_or_queue(self) -> None:
        for capacity in range(5):
            for held in range(6):
                for queued in range(8):
                    for cards in range(1, 5):
                        size = shard_size(
                            capacity=capacity, held=held, queued=queued, cards_online=cards
                        )
                        assert 0 <= size <= max(0, min(capacity - held, queued))


class TestFed:
    def fed(self, *units: float, pace: float = 10.0, lanes: int = 1) -> bool:
        return is_fed(
            units_held=units, chunk_units=1.0, pace=pace, lanes=lanes, round_trip_seconds=5.0
        )

    def test_a_card_with_a_lane_to_fill_is_hungry_whatever_it_holds(self) -> None:
        assert not self.fed()
        assert not self.fed(100.0, 100.0, lanes=3)

    def test_the_next_clip_comes_before_the_last_chunks_are_done(self) -> None:
        assert self.fed(3.0)
        assert not self.fed(2.0)
        assert self.fed(2.0, 1.0)

    def test_short_clips_are_handed_out_by_time_not_by_number(self) -> None:
        assert not self.fed(*[1.0] * 8, pace=0.5)
        assert self.fed(*[1.0] * 12, pace=0.5)

    def test_an_unmeasured_card_holds_one_beside_those_in_render(self) -> None:
        assert not self.fed(9.0, pace=0.0)
        assert self.fed(9.0, 9.0, pace=0.0)


class TestPause:
    def test_a_card_that_waits_for_work_asks_soon(self) -> None:
        assert pause_seconds(waiting=True, cards_online=2, longest=10.0) == 1.0
        assert pause_seconds(waiting=True, cards_online=200, longest=10.0) == 4.0

    def test_never_longer_than_promised(self) -> None:
        assert pause_seconds(waiting=False, cards_online=2, longest=10.0) == 10.0
        assert pause_seconds(waiting=True, cards_online=10_000, longest=10.0) == 10.0


class TestBlocked:
    def test_a_card_fails_a_clip_only_once_while_another_is_left(self) -> None:
        failed_here = clip(blocked=("a",))
        assert is_blocked(failed_here, "a", {"a", "b"})
        assert not is_blocked(failed_here, "b", {"a", "b"})

    def test_when_all_cards_have_failed_it_any_may_try(self) -> None:
        assert not is_blocked(clip(blocked=("a", "b")), "a", {"a", "b"})
        assert not is_blocked(clip(blocked=("a",)), "a", {"a"})


class TestExpiry:
    def test_takes_what_has_ended(self) -> None:
        class Lease:
            def __init__(self, expires: float) -> None:
                self.expires = expires

        leases = [("a", Lease(1.0)), ("b", Lease(2.0)), ("c", Lease(2.1))]
        assert [clip_id for clip_id, _ in expired(leases, 2.0)] == ["a", "b"]


class TestRetry:
    def fail(self, subject: Clip, failure: Failure, cards: set[str]) -> object:
        return after_failure(
            subject, failure, "no", card_id="a", cards=cards, now=100.0, policy=POLICY
        )

    def test_a_clip_at_fault_is_believed_on_the_second_card(self) -> None:
        assert self.fail(clip(), Failure.INPUT, {"a", "b"}) == RetryAt(101.0)
        second = self.fail(clip(input_failed=("b",)), Failure.INPUT, {"a", "b", "c"})
        assert second == GiveUp("no (found on 2 cards)")

    def test_the_same_card_saying_it_twice_is_no_second_card(self) -> None:
        again = self.fail(clip(input_failed=("a",), failures=1), Failure.INPUT, {"a", "b"})
        assert isinstance(again, RetryAt)

    def test_a_clip_at_fault_ends_when_no_other_card_is_left(self) -> None:
        assert isinstance(self.fail(clip(), Failure.INPUT, {"a"}), GiveUp)

    def test_backoff_doubles_up_to_its_limit(self) -> None:
        waits = [
            after_failure(
                clip(failures=n), Failure.NODE, "no", card_id="a", cards={"a"}, now=0.0,
                policy=Policy(failure_budget=100),
            )
            for n in (0, 1, 2, 20)
        ]  # fmt: skip
        assert waits == [RetryAt(1.0), RetryAt(2.0), RetryAt(4.0), RetryAt(60.0)]

    def test_the_failure_budget_ends_a_clip_that_makes_no_progress(self) -> None:
        assert isinstance(self.fail(clip(failures=1), Failure.NODE, {"a"}), RetryAt)
        last = self.fail(clip(failures=2, attempt=3), Failure.NODE, {"a"})
        assert isinstance(last, GiveUp)
        assert "no" in last.reason

    def test_losses_end_a_clip_only_after_its_budget(self) -> None:
        for losses in range(POLICY.loss_budget):
            went_on = after_loss(clip(losses=losses), "dead", started=True, now=5.0, policy=POLICY)
            assert went_on == RetryAt(5.0)
        over = clip(losses=POLICY.loss_budget)
        assert isinstance(after_loss(over, "dead", started=True, now=5.0, policy=POLICY), GiveUp)

    def test_a_clip_that_was_only_prefetched_loses_nothing(self) -> None:
        over = clip(losses=POLICY.loss_budget)
        outcome = after_loss(over, "dead", started=False, now=5.0, policy=POLICY)
        assert outcome == RetryAt(5.0)
