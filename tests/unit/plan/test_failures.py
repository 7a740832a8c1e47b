"""Sick cards leave, sick clips are contained, and batches stop before they waste the night."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.domain.clip import Clip, GiveUp, RetryAt, Work
from farm.domain.fleet import CardFacts
from farm.plan.failures import Strikes, should_pause
from farm.plan.policy import Policy
from farm.plan.retry import Failure, after_failure, roomier

POLICY = Policy(quarantine_clips=3, quarantine_seconds=1800.0, poison_cards=2)
AGAINST_CARDS = [Failure.NODE, Failure.OUT_OF_MEMORY, Failure.STALL]


def strikes(*failures: tuple[str, str, Failure], seconds_apart: float = 1.0) -> list[str]:
    """What is said after each of these failures of a (card, clip)."""
    kept = Strikes(POLICY)
    return [
        kept.add(card, clip, failure, number * seconds_apart)
        for number, (card, clip, failure) in enumerate(failures)
    ]


@pytest.mark.parametrize("failure", AGAINST_CARDS)
def test_a_card_that_fails_three_different_clips_is_quarantined(failure: Failure) -> None:
    said = strikes(*(("a", clip, failure) for clip in ("x", "y", "z")))
    assert said == [
        "", "", "failed 3 different clips within 30 minutes, with no chunk in between",
    ]  # fmt: skip


def test_failing_one_clip_again_and_again_says_nothing_of_the_card() -> None:
    assert not any(strikes(*[("a", "x", Failure.NODE)] * 10))


def test_failures_long_ago_do_not_count() -> None:
    apart = [("a", clip, Failure.NODE) for clip in "uvwxyz"]
    assert not any(strikes(*apart, seconds_apart=1000.0))
    assert any(strikes(*apart, seconds_apart=800.0))


def test_a_recorded_chunk_starts_the_count_anew() -> None:
    kept = Strikes(POLICY)
    for clip in ("x", "y"):
        assert not kept.add("a", clip, Failure.NODE, 0.0)
    kept.clear("a")
    assert not kept.add("a", "z", Failure.NODE, 0.0)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("uvwxyz")), max_size=60))
def test_a_clip_that_is_at_fault_itself_quarantines_no_card(seen: list[tuple[str, str]]) -> None:
    assert not any(strikes(*((card, clip, Failure.INPUT) for card, clip in seen)))


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"), st.sampled_from("xyz"), st.sampled_from(AGAINST_CARDS)
        ),
        max_size=60,
    )
)
def test_three_poison_clips_take_no_more_than_two_cards(
    seen: list[tuple[str, str, Failure]],
) -> None:
    """Whatever they look like: each clip counts against two cards, and it takes three clips."""
    kept, quarantined = Strikes(POLICY), set[str]()
    for number, (card, clip, failure) in enumerate(seen):
        if card not in quarantined and kept.add(card, clip, failure, float(number)):
            quarantined.add(card)
            kept.clear(card)
    assert len(quarantined) <= 2


def test_when_the_store_fails_for_several_cards_no_card_is_to_blame() -> None:
    kept = Strikes(POLICY)
    for clip in range(9):
        for card in "ab":
            assert not kept.add(card, f"{card}{clip}", Failure.STORAGE, float(clip))
            kept.clear("c")
    kept.clear("b")
    assert kept.add("a", "a0", Failure.STORAGE, 10.0), "the store works again for the others"


def test_the_only_card_that_works_is_not_blamed_for_a_store_that_does_not() -> None:
    kept = Strikes(POLICY)
    kept.clear("b")
    for clip in range(9):
        assert not kept.add("a", f"a{clip}", Failure.STORAGE, float(clip))
    kept.clear("b")
    assert kept.add("a", "a0", Failure.STORAGE, 10.0), "another has recorded a chunk meanwhile"


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.integers(0, 20).map(str),
            st.sampled_from(AGAINST_CARDS),
            st.floats(0, 900),
        ),
        max_size=60,
    )
)
def test_a_card_is_never_quarantined_for_less_than_three_clips_in_the_window(
    seen: list[tuple[str, str, Failure, float]],
) -> None:
    kept, now = Strikes(POLICY), 0.0
    failed: defaultdict[str, list[tuple[float, str]]] = defaultdict(list)
    for card, clip, failure, pause in seen:
        now += pause
        failed[card].append((now, clip))
        recent = {c for at, c in failed[card] if at > now - POLICY.quarantine_seconds}
        if kept.add(card, clip, failure, now):
            assert len(recent) >= 3
            kept.clear(card)
            failed[card].clear()


@pytest.mark.parametrize(
    ("failed", "clips", "failures_max", "pauses"),
    [
        (4, 4, None, False),
        (5, 50, None, False),
        (6, 50, None, True),
        (5, 5, None, True),
        (500, 500, 0, False),
        (2, 1000, 3, False),
        (3, 1000, 3, True),
    ],
)
def test_a_batch_is_paused_past_its_number_or_the_policy_s_share(
    failed: int, clips: int, failures_max: int | None, pauses: bool
) -> None:
    reason = should_pause(failed, clips, failures_max, POLICY)
    assert bool(reason) is pauses
    if pauses:
        assert reason.startswith(f"{failed} of its {clips:,} clips have failed, ")


def test_failures_that_somebody_knew_of_when_he_resumed_a_batch_pause_it_no_more() -> None:
    assert not should_pause(4, 1000, 3, POLICY, forgiven=3)
    assert not should_pause(2, 1000, 3, POLICY, forgiven=3), "some were retried"
    assert should_pause(6, 1000, 3, POLICY, forgiven=3) == (
        "3 more of its 1,000 clips have failed since it was resumed, as many as it may (3)"
    )


def clip(failures: int, storage_failures: int = 0) -> Clip:
    return Clip(
        clip_id="c",
        batch_id="b",
        ordinal=1,
        frames=66,
        work=Work(384, 640),
        failures=failures,
        storage_failures=storage_failures,
    )


def fail(failures: int, failure: Failure) -> object:
    spent = clip(0, failures) if failure is Failure.STORAGE else clip(failures)
    return after_failure(spent, failure, "no", card_id="a", cards={"a"}, now=0.0, policy=POLICY)


def test_an_outage_of_the_store_spends_no_other_budget() -> None:
    tried = clip(0, POLICY.storage_budget - 2)
    outcome = after_failure(
        tried, Failure.NODE, "no", card_id="a", cards={"a"}, now=0.0, policy=POLICY
    )
    assert isinstance(outcome, RetryAt)


def test_an_outage_of_the_store_of_a_quarter_of_an_hour_ends_no_clip() -> None:
    waited = 0.0
    for failures in range(POLICY.storage_budget - 1):
        outcome = fail(failures, Failure.STORAGE)
        assert isinstance(outcome, RetryAt)
        waited += outcome.not_before
    assert waited > 900
    assert isinstance(fail(POLICY.storage_budget - 1, Failure.STORAGE), GiveUp)


@pytest.mark.parametrize("failure", AGAINST_CARDS)
def test_any_other_failure_ends_a_clip_with_its_budget(failure: Failure) -> None:
    assert isinstance(fail(POLICY.failure_budget - 2, failure), RetryAt)
    assert isinstance(fail(POLICY.failure_budget - 1, failure), GiveUp)


def test_a_clip_that_did_not_fit_is_best_tried_on_the_smallest_card_that_is_larger() -> None:
    cards = [
        CardFacts(card_id=name, vram_bytes=gib * 2**30)
        for name, gib in (("h100", 80), ("a", 8), ("b", 16), ("c", 16), ("d", 24))
    ]
    assert roomier(cards[1], cards) == ["b", "c", "d", "h100"]
    assert roomier(cards[0], cards) == []
