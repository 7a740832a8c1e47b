"""The last clips of a batch end on the cards that end them soonest, and stay there."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from farm.plan.tail import Idle, Move, Running, moves, seconds_elsewhere

RESUME = 10.0
CARDS = st.lists(
    st.tuples(st.floats(0.5, 20.0), st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=9
)
"""Pace, chunks left of the clip that it holds (0: it is idle), and clips that wait behind it."""


def fleet(cards: list[tuple[float, int, int]], chunk: float) -> tuple[list[Running], list[Idle]]:
    running, idle = [], []
    for number, (pace, chunks, behind) in enumerate(cards):
        card_id, ahead = f"card{number}", 0.0
        if not chunks:
            idle.append(Idle(card_id, pace))
            continue
        for place in range(behind + 1):
            clip_id = f"clip{number}-{place}"
            running.append(Running(clip_id, card_id, chunks * chunk, pace, ahead, chunk))
            ahead += chunks * chunk
    return running, idle


def after(
    running: list[Running], idle: list[Idle], made: list[Move]
) -> tuple[list[Running], list[Idle]]:
    """The same fleet once the moves are done, with no time gone by."""
    to, paces = {m.clip_id: m.to_card for m in made}, {c.card_id: c.pace for c in idle}
    stay = [clip for clip in running if clip.clip_id not in to]
    ahead = dict.fromkeys((clip.card_id for clip in running), 0.0)
    for number, clip in enumerate(stay):
        stay[number] = replace(clip, ahead=ahead[clip.card_id])
        ahead[clip.card_id] += clip.units
    moved = [
        replace(clip, card_id=to[clip.clip_id], pace=paces[to[clip.clip_id]], ahead=0.0)
        for clip in running
        if clip.clip_id in to
    ]
    held = {clip.card_id for clip in [*stay, *moved]}
    left = {clip.card_id: clip.pace for clip in running}
    free = [card for card in idle if card.card_id not in held]
    return stay + moved, free + [Idle(c, p) for c, p in left.items() if c not in held]


@given(CARDS, st.floats(0.5, 8.0))
def test_a_move_is_never_undone(cards: list[tuple[float, int, int]], chunk: float) -> None:
    running, idle = fleet(cards, chunk)
    first = moves(running, idle, resume_seconds=RESUME)
    again = moves(*after(running, idle, first), resume_seconds=RESUME)
    undone = {(m.clip_id, m.to_card, m.from_card) for m in first}
    assert not undone & {(m.clip_id, m.from_card, m.to_card) for m in again}


@given(CARDS, st.floats(0.5, 8.0))
def test_moves_come_to_an_end(cards: list[tuple[float, int, int]], chunk: float) -> None:
    running, idle = fleet(cards, chunk)
    for _ in range(len(running) * len(cards) + 1):
        made = moves(running, idle, resume_seconds=RESUME)
        if not made:
            return
        running, idle = after(running, idle, made)
    raise AssertionError("still moving")


@given(CARDS, st.floats(0.5, 8.0))
def test_the_batch_never_ends_later_and_no_card_is_used_twice(
    cards: list[tuple[float, int, int]], chunk: float
) -> None:
    running, idle = fleet(cards, chunk)
    made = moves(running, idle, resume_seconds=RESUME)
    by_clip, by_card = {c.clip_id: c for c in running}, {c.card_id: c for c in idle}
    assert len({m.to_card for m in made}) == len({m.clip_id for m in made}) == len(made)
    ends = {clip.clip_id: clip.seconds_left for clip in after(running, idle, made)[0]}
    for move in made:
        clip = by_clip[move.clip_id]
        ends[move.clip_id] = seconds_elsewhere(clip, by_card[move.to_card], RESUME)
        assert ends[move.clip_id] <= clip.seconds_left - 2 * RESUME
    assert max(ends.values(), default=0.0) <= max((c.seconds_left for c in running), default=0.0)


def test_the_clip_that_ends_last_gets_the_fastest_card() -> None:
    running = [
        Running("short", "a", 10.0, 10.0),
        Running("long", "b", 40.0, 10.0),
        Running("middle", "c", 20.0, 10.0),
    ]
    idle = [Idle("slow", 10.0), Idle("fast", 1.0), Idle("faster", 0.5)]
    assert moves(running, idle, resume_seconds=RESUME) == [
        Move("long", "b", "faster"),
        Move("middle", "c", "fast"),
    ]


def test_a_clip_that_waits_behind_another_goes_to_a_card_of_the_same_speed() -> None:
    running = [Running("at it", "a", 20.0, 5.0), Running("behind", "a", 20.0, 5.0, 20.0)]
    assert moves(running, [Idle("b", 5.0)], resume_seconds=RESUME) == [Move("behind", "a", "b")]


def test_a_clip_in_its_last_chunk_stays() -> None:
    last = Running("last", "a", 20.0, 10.0, 0.0, 20.0)
    assert moves([last], [Idle("b", 0.1)], resume_seconds=RESUME) == []


def test_a_card_that_is_only_a_little_faster_gets_nothing() -> None:
    running = [Running("long", "a", 1000.0, 10.0)]
    assert moves(running, [Idle("b", 9.2)], resume_seconds=RESUME) == []
    assert moves(running, [Idle("b", 8.5)], resume_seconds=RESUME) != []
