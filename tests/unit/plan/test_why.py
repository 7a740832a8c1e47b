"""Whoever asks why gets one sentence that answers, what it rests on, and what would help."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.domain.batch import BatchState
from farm.domain.clip import ClipState
from farm.domain.fleet import Standing
from farm.plan.answers import Answer
from farm.plan.prospects import Prospects
from farm.plan.why import BatchFacts, ClipFacts, explain_batch, explain_clip
from farm.plan.why_fleet import CardView, Decided, NodeView, explain_card, explain_node

WORDS = st.sampled_from(["", "CUDA error", "new fans."])
NAMES = st.lists(st.sampled_from(["a", "b", "c"]), max_size=3, unique=True).map(tuple)
SECONDS = st.none() | st.floats(0, 1e6)
COUNTS = st.integers(0, 3)
PROSPECTS = st.builds(
    Prospects,
    cards=COUNTS, matching=COUNTS, here=COUNTS, taking=COUNTS, idle=COUNTS, ahead=COUNTS,
    lacking=st.just(("is a cpu, the batch wants h100",)),
    closed=st.lists(st.tuples(st.sampled_from(["gpu7", "gpu8"]), WORDS), max_size=2).map(tuple),
    project=st.just("show"), cap=st.none() | COUNTS, full_limits=NAMES, start_seconds=SECONDS,
)  # fmt: skip
BATCHES = st.lists(st.tuples(st.just("other"), COUNTS), max_size=2).map(tuple)
CLIPS = st.builds(
    ClipFacts,
    name=st.just("sq010"), batch=st.just("dailies"), state=st.sampled_from(ClipState),
    reason=WORDS, batch_state=st.sampled_from(BatchState), batch_reason=WORDS,
    chunks=st.just(3), chunks_done=COUNTS, attempt=COUNTS, card_id=st.just("gpu1/0"),
    started=st.booleans(), seconds_left=SECONDS, yielding=WORDS,
    waits_for=st.lists(st.tuples(st.just("sq000"), st.sampled_from(ClipState)), max_size=2).map(
        tuple
    ),
    waits_for_batches=BATCHES, backoff_seconds=st.sampled_from([0.0, 12.0]), failed_on=NAMES,
    prospects=st.none() | PROSPECTS, warning=WORDS,
)  # fmt: skip
BATCH = st.builds(
    BatchFacts,
    name=st.just("dailies"), state=st.sampled_from(BatchState), reason=WORDS,
    clips=st.dictionaries(st.sampled_from(ClipState), st.integers(1, 3)),
    cards=COUNTS, seconds_left=SECONDS, waits_for_batches=BATCHES,
    prospects=st.none() | PROSPECTS, warning=WORDS,
)  # fmt: skip
DECIDED = st.builds(
    Decided,
    target=st.just("gpu7"), standing=st.sampled_from(Standing), reason=WORDS,
    by_hours=st.booleans(), opens_in_seconds=SECONDS,
)  # fmt: skip
HINDERED = st.lists(st.tuples(st.just("dailies"), WORDS), max_size=2).map(tuple)
CARD = st.builds(
    CardView,
    online=st.booleans(), seen_seconds_ago=st.floats(0, 1e6),
    condition=st.sampled_from(["ready", "", "loading the model"]), decided=DECIDED, holds=NAMES,
    seconds_left=SECONDS, examined=WORDS, no_power=WORDS, queued=COUNTS, hindered=HINDERED,
    open_to=COUNTS,
)  # fmt: skip
NODE = st.builds(
    NodeView,
    decided=DECIDED, cards=COUNTS, here=COUNTS, working=COUNTS,
    seen_seconds_ago=st.floats(0, 1e6), no_power=WORDS, failing=HINDERED,
).filter(lambda seen: seen.working <= seen.here <= seen.cards)  # fmt: skip


def reads_well(said: Answer) -> None:
    for text in (said.answer, *said.because):
        assert re.fullmatch(r"\S.*[^.:;, ]\.", text), text
        assert not re.search(r"\.\.|  | [.,:;]|[{}]|None$|: None|\b1 \w+s\b", text), text
    for remedy in said.remedies:
        assert not remedy.endswith("."), remedy


@given(CLIPS)
def test_every_answer_about_a_clip_reads_well(facts: ClipFacts) -> None:
    reads_well(explain_clip(facts))


@given(BATCH)
def test_every_answer_about_a_batch_reads_well(facts: BatchFacts) -> None:
    reads_well(explain_batch(facts))


@given(CARD)
def test_every_answer_about_a_card_reads_well(seen: CardView) -> None:
    reads_well(explain_card(seen))


@given(NODE)
def test_every_answer_about_a_node_reads_well(seen: NodeView) -> None:
    reads_well(explain_node(seen))


FREE = Prospects(cards=70, matching=62, here=62, taking=62)
QUEUED = ClipFacts(
    name="sq010", batch="dailies", state=ClipState.QUEUED, chunks=12, prospects=FREE
)  # fmt: skip


def of_queued(**changes: object) -> Answer:
    return explain_clip(replace(QUEUED, prospects=replace(FREE, **changes)))  # type: ignore[arg-type]


def test_a_clip_in_line_is_told_how_long_the_line_is() -> None:
    assert of_queued(ahead=312, start_seconds=820.0) == Answer(
        "It waits for a card: 312 clips go before it and 62 cards work on them; "
        "it should start in about 14 minutes."
    )


@pytest.mark.parametrize(
    ("changes", "answer", "remedy"),
    [
        ({"matching": 0}, "none of its 70 cards is what the batch asks for", "add such a card"),
        ({"here": 0}, "there are 62 cards that could render it, and none of them is here", "cards"),
        (
            {"taking": 0, "closed": (("gpu7", "locked: new fans"),)},
            "there are 62 cards here that could render it, and none of them takes clips",
            "`farm node unlock gpu7` opens it",
        ),
        (
            {"full_limits": ("nuke",), "ahead": 5},
            "waits until others are done that count against the limit nuke",
            "`farm limit set nuke NUMBER` raises it",
        ),
        (
            {"cap": 8, "project": "show", "ahead": 5},
            "project show has all the cards that it may have now (8)",
            "`farm project set show --cap NUMBER` raises its cap",
        ),
    ],
)
def test_what_stands_in_the_way_is_said_with_what_removes_it(
    changes: dict[str, object], answer: str, remedy: str
) -> None:
    said = of_queued(**changes)
    assert answer in said.answer
    assert any(remedy in each for each in said.remedies)


def test_a_paused_batch_comes_before_anything_else() -> None:
    paused = replace(QUEUED, batch_state=BatchState.PAUSED, batch_reason="the client called")
    said = explain_clip(replace(paused, backoff_seconds=5.0))
    assert said.answer == "It waits: its batch is paused: the client called."
    assert said.remedies == ("`farm resume dailies` lets it go on",)


def test_a_clip_that_failed_says_where_and_why_and_how_to_try_again() -> None:
    failed = replace(
        QUEUED, state=ClipState.FAILED, attempt=3, reason="CUDA error", failed_on=("a", "b")
    )
    said = explain_clip(failed)
    assert said.answer == "It was given up after 3 attempts: CUDA error."
    assert said.because == ("It failed on a, b since its last chunk.",)
    assert said.remedies == ("`farm retry dailies sq010` queues it again",)
    again = explain_clip(replace(failed, state=ClipState.QUEUED, backoff_seconds=12.0))
    assert again.answer == "Its last attempt failed; it is tried again in 12 seconds."
    assert again.because == ("It failed on a, b since its last chunk; the last time: CUDA error.",)


def test_a_clip_whose_ground_failed_names_it_and_how_to_repair_it() -> None:
    waits = (("sq000", ClipState.FAILED), ("sq001", ClipState.LEASED))
    said = explain_clip(replace(QUEUED, state=ClipState.WAITING, waits_for=waits))
    assert said.answer == "It depends on 2 other clips and waits for that."
    assert said.because == ("Clip sq000 is failed.", "Clip sq001 is leased.")
    assert said.remedies == ("`farm retry dailies sq000` queues sq000 again",)


def test_a_batch_at_work_says_how_far_it_is() -> None:
    said = explain_batch(
        BatchFacts(
            name="dailies",
            state=BatchState.OPEN,
            clips={ClipState.LEASED: 2, ClipState.DONE: 8, ClipState.FAILED: 1},
            cards=2,
            seconds_left=60.0,
        )
    )
    assert said == Answer(
        "2 cards work on it, and it should be done in about 60 seconds.",
        ("Of its 11 clips, 2 leased, 8 done, 1 failed.",),
        ("`farm retry dailies --failed` queues what failed again",),
    )


HERE = CardView(online=True, seen_seconds_ago=1.0, decided=Decided(target="gpu7"))


def test_an_idle_card_says_why_nothing_that_waits_may_come() -> None:
    hindered = (("dailies", "is a cpu, the batch wants h100"),)
    said = explain_card(replace(HERE, queued=12, hindered=hindered))
    assert said.answer == "It is idle: none of 12 waiting clips may come here."
    assert said.because == ("Batch dailies may not: is a cpu, the batch wants h100.",)


@pytest.mark.parametrize(
    ("standing", "command"),
    [
        (Standing.LOCKED, "farm node unlock gpu7"),
        (Standing.PAUSED, "farm node resume gpu7"),
        (Standing.DRAINING, "farm node unlock gpu7"),
        (Standing.QUARANTINED, "farm node unlock gpu7"),
    ],
)
def test_a_closed_card_names_the_command_that_opens_it(standing: Standing, command: str) -> None:
    decided = Decided(target="gpu7", standing=standing, reason="new fans")
    said = explain_card(replace(HERE, decided=decided))
    assert "new fans" in said.answer
    assert any(f"`{command}`" in remedy for remedy in said.remedies)


def test_a_card_outside_its_hours_says_when_they_begin() -> None:
    decided = Decided(
        target="gpu7", standing=Standing.PAUSED, by_hours=True, opens_in_seconds=7200.0
    )
    said = explain_card(replace(HERE, decided=decided))
    assert said.answer == "It is outside the hours of gpu7; they begin in 2 h 00 min."
