"""Who waits with a higher rank gets cards, and no more than it can use."""

from __future__ import annotations

import math
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from farm.plan.preempt import Occupied, Rank, Wanting, victims

HIGH: Rank = (-5.0, math.inf)
URGENT: Rank = (0.0, 1000.0)
USUAL: Rank = (0.0, math.inf)
LOW: Rank = (5.0, math.inf)
RANKS = st.sampled_from([HIGH, URGENT, USUAL, LOW])
CARDS = [f"card{n}" for n in range(10)]


def anywhere(_card_id: str) -> bool:
    return True


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Wanting], list[Occupied], list[str]]:
    busy = draw(st.lists(st.sampled_from(CARDS), unique=True))
    free = draw(
        st.lists(st.sampled_from([c for c in CARDS if c not in busy] or ["x"]), unique=True)
    )
    occupied = [Occupied(card, draw(RANKS), draw(st.floats(0, 60))) for card in busy]
    wanting = []
    for number in range(draw(st.integers(0, 4))):
        fits = draw(st.frozensets(st.sampled_from(CARDS)))
        clips = draw(st.integers(0, 6))
        wanting.append(Wanting(f"b{number}", draw(RANKS), clips, fits.__contains__))
    return wanting, occupied, free


@given(situations())
def test_only_lower_ranks_on_matching_cards_yield_each_once_and_none_too_many(
    situation: tuple[list[Wanting], list[Occupied], list[str]],
) -> None:
    wanting, occupied, free = situation
    found = victims(wanting, occupied, free)
    batches, ranks = {w.batch_id: w for w in wanting}, {o.card_id: o.rank for o in occupied}
    assert len({card for card, _ in found}) == len(found)
    for card, batch in found:
        assert ranks[card] > batches[batch].rank
        assert batches[batch].may_have(card)
    for batch, count in Counter(batch for _, batch in found).items():
        assert count <= batches[batch].clips
        higher = sum(w.clips for w in wanting if w.rank < batches[batch].rank)
        could = sum(batches[batch].may_have(card) for card in free)
        assert count <= max(
            0,
            batches[batch].clips
            - max(
                0,
                could
                - higher
                - sum(
                    w.clips
                    for w in wanting
                    if w.rank == batches[batch].rank and w.batch_id != batch
                ),
            ),
        )


@given(situations())
def test_what_was_asked_for_once_is_not_asked_for_again(
    situation: tuple[list[Wanting], list[Occupied], list[str]],
) -> None:
    """A card that was asked counts as free from then on: the second call adds nothing where all
    batches can use the same cards."""
    wanting, occupied, free = situation
    same = [Wanting(w.batch_id, w.rank, w.clips, anywhere) for w in wanting]
    asked = {card for card, _ in victims(same, occupied, free)}
    left = [card for card in occupied if card.card_id not in asked]
    assert victims(same, left, [*free, *asked]) == []


def test_the_lowest_rank_yields_first_and_of_equals_the_one_that_is_free_soonest() -> None:
    occupied = [
        Occupied("usual", USUAL, 1.0),
        Occupied("low and late", LOW, 50.0),
        Occupied("low and soon", LOW, 5.0),
        Occupied("urgent", URGENT, 0.0),
    ]
    found = victims([Wanting("b", HIGH, 3, anywhere)], occupied, [])
    assert [card for card, _ in found] == ["low and soon", "low and late", "usual"]


def test_a_near_deadline_displaces_within_its_priority_and_not_above() -> None:
    occupied = [Occupied("usual", USUAL), Occupied("high", HIGH), Occupied("also urgent", URGENT)]
    assert victims([Wanting("b", URGENT, 3, anywhere)], occupied, []) == [("usual", "b")]


def test_equals_never_displace_each_other() -> None:
    assert victims([Wanting("b", USUAL, 3, anywhere)], [Occupied("a", USUAL)], []) == []


def test_free_cards_and_those_that_yield_already_serve_first() -> None:
    occupied = [Occupied("a", LOW), Occupied("b", LOW)]
    assert victims([Wanting("b", HIGH, 2, anywhere)], occupied, ["free", "yields"]) == []
    found = victims([Wanting("b", HIGH, 2, lambda card: card != "free")], occupied, ["free"])
    assert len(found) == 2
