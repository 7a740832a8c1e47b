"""Which piece is asked of whom: of neighbours first, shared out, and never stuck."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from heliostat.swarm.bits import Rarity, all_of, first_from, members, shares
from heliostat.swarm.picker import SOURCE, Ask, Limits, Picker

LIMITS = Limits()
SETS = st.integers(0, all_of(40))


def picker(*others: str, count: int = 40, me: str = "me", limits: Limits = LIMITS) -> Picker:
    made = Picker(me, count, limits=limits)
    made.neighbours(others)
    return made


def heard(made: Picker, now: float = 0.0, **have: int) -> None:
    for name in made.polls(now):
        made.heard(name, have.get(name, 0), now)


@given(st.lists(SETS, max_size=9), SETS.filter(bool))
def test_the_rarest_are_those_that_the_fewest_sets_have(sets: list[int], of: int) -> None:
    rarity = Rarity()
    for each in sets:
        rarity.add(each)
    counts = {piece: sum(each >> piece & 1 for each in sets) for piece in members(of)}
    rarest = {piece for piece, count in counts.items() if count == min(counts.values())}
    assert set(members(rarity.rarest(of))) == rarest


@given(SETS.filter(bool), st.integers(0, 39))
def test_the_first_from_a_piece_on_goes_round(pieces: int, start: int) -> None:
    after = [piece for piece in members(pieces) if piece >= start]
    assert first_from(pieces, start) == (after or list(members(pieces)))[0]


@given(st.sets(st.text("abc", min_size=1), min_size=2, max_size=6), st.integers(0, 3))
def test_each_piece_is_of_one_share_and_who_goes_leaves_the_others_theirs(
    nodes: set[str], turn: int
) -> None:
    before = shares(tuple(sorted(nodes)), 40, turn)
    assert sum(before.values()) == all_of(40)
    gone = min(nodes)
    after = shares(tuple(sorted(nodes - {gone})), 40, turn)
    assert all(before[name] & ~after[name] == 0 for name in after)


def test_nothing_is_asked_of_the_source_while_a_living_neighbour_has_it() -> None:
    made = picker("a", "b")
    heard(made, a=all_of(40))
    assert {ask.of for ask in made.choose(0.0)} == {"a"}


def test_before_all_have_spoken_the_source_is_left_alone() -> None:
    made = picker("a", "b")
    for name in made.polls(0.0):
        if name == "a":
            made.heard(name, 0, 0.0)
    assert made.choose(0.0) == []
    made.heard("b", 0, 0.0)
    assert {ask.of for ask in made.choose(0.0)} == {SOURCE}


def test_one_alone_asks_the_source_for_everything() -> None:
    made = picker()
    while asks := made.choose(0.0):
        assert len(asks) <= LIMITS.at_once
        for ask in asks:
            made.received(ask, 0.0)
    assert made.whole


def test_what_nobody_has_is_asked_of_the_source_by_one_node_each() -> None:
    names = [f"n{number}" for number in range(6)]
    asked: list[int] = []
    for name in names:
        made = picker(*names, me=name)
        heard(made)
        while asks := made.choose(1.0):
            assert {ask.of for ask in asks} == {SOURCE}
            for ask in asks:
                asked.append(ask.piece)
                made.received(ask, 1.0)
    assert sorted(asked) == list(range(40))


def test_nodes_that_know_few_neighbours_still_ask_the_source_for_each_piece_once() -> None:
    names = [f"n{number}" for number in range(6)]
    asked: list[int] = []
    for number, name in enumerate(names):
        made = Picker(name, 40)
        made.neighbours([names[number - 1]], names)
        heard(made)
        while asks := made.choose(1.0):
            for ask in asks:
                asked.append(ask.piece)
                made.received(ask, 1.0)
    assert sorted(asked) == list(range(40))


def test_when_those_whose_share_it_is_bring_nothing_others_ask_as_well() -> None:
    made = picker("a", "b")
    heard(made)
    while asks := made.choose(0.0):
        for ask in asks:
            made.received(ask, 0.0)
    assert not made.whole
    for now in range(1, 2000, 10):
        for name in made.polls(float(now)):
            made.heard(name, 0, float(now))
        for ask in made.choose(float(now)):
            made.received(ask, float(now))
    assert made.whole


def test_pieces_that_only_one_has_are_asked_for_by_share_first() -> None:
    names = [f"n{number}" for number in range(5)]
    first = []
    for name in names[1:]:
        made = picker(*names, me=name)
        heard(made, n0=all_of(40))
        first += [ask.piece for ask in made.choose(0.0)]
    assert len(set(first)) == len(first)


def test_few_are_asked_at_once_of_one_and_in_all() -> None:
    made = picker(*"abcdefgh")
    heard(made, **dict.fromkeys("abcdefgh", all_of(40)))
    asks = made.choose(0.0)
    assert len(asks) == LIMITS.at_once
    assert max(sum(ask.of == name for ask in asks) for name in "abcdefgh") <= LIMITS.of_one
    assert made.choose(0.0) == []


def test_a_late_piece_is_asked_of_another_and_the_first_answer_counts() -> None:
    made = picker("slow", "quick", count=1)
    heard(made, slow=1)
    (late,) = made.choose(0.0)
    made.heard("quick", 1, 1.0)
    assert made.choose(1.0) == []
    (again,) = made.choose(LIMITS.late_seconds_first + 1)
    assert (late.of, again.of) == ("slow", "quick")
    assert made.received(again, 40.0) == [late]
    assert made.whole


def test_one_that_stumbles_is_left_twice_as_long_each_time_and_then_taken_for_dead() -> None:
    made, now, waits = picker("a", "b"), 0.0, []
    heard(made, a=all_of(40))
    for _ in range(LIMITS.dead_after):
        asked_at = now
        while not (asks := [ask for ask in made.choose(now) if ask.of == "a"]):
            now += 0.25
        waits.append(now - asked_at)
        for ask in asks[:1]:
            made.stumbled(ask, now)
        for ask in asks[1:]:
            made.busy(ask, now)
    assert waits == sorted(waits)
    assert SOURCE in {ask.of for ask in made.choose(now)}


def test_one_that_is_busy_is_not_taken_for_dead() -> None:
    made = picker("a")
    heard(made, a=all_of(40))
    now = 0.0
    for _ in range(50):
        for ask in made.choose(now):
            assert ask.of == "a"
            made.busy(ask, now)
        now += LIMITS.busy_seconds_max


def test_who_sent_a_wrong_piece_is_named_and_never_asked_again() -> None:
    made = picker("liar", "b")
    heard(made, liar=all_of(40), b=all_of(40))
    for ask in made.choose(0.0):
        if ask.of == "liar":
            made.corrupted(ask, 0.0)
    made.neighbours(["b"])
    made.neighbours(["liar", "b"])
    assert made.banned == {"liar"}
    assert {ask.of for ask in made.choose(1e6)} <= {"b"}
    assert "liar" not in made.polls(1e6)


EVENTS = st.sampled_from(["received", "stumbled", "busy", "corrupted", "silent", "heard"])


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.integers(0, 3), st.integers(0, 7)), max_size=60))
def test_whatever_happens_it_keeps_its_bounds_and_ends_once_all_is_well(
    events: list[tuple[str, int, int]],
) -> None:
    names = ["a", "b", "c", "d"]
    made = picker(*names, count=12)
    under_way: list[Ask] = []
    now = 0.0
    for what, who, which in events:
        now += 0.7
        for name in made.polls(now):
            made.silent(name, now) if what == "silent" else made.heard(name, 0xABC >> who, now)
        new = made.choose(now)
        under_way += new
        assert len(set(under_way)) == len(under_way) <= 2 * LIMITS.at_once
        assert not any(made.have >> ask.piece & 1 for ask in new)
        assert not {ask.of for ask in new} & made.banned
        if under_way and what in ("received", "stumbled", "busy", "corrupted"):
            ask = under_way.pop(which % len(under_way))
            void = getattr(made, what)(ask, now) or []
            under_way = [each for each in under_way if each not in void]
    for _ in range(5000):
        now += 1.0
        for name in made.polls(now):
            made.heard(name, all_of(12), now)
        under_way += made.choose(now)
        for ask in under_way:
            made.received(ask, now)
        under_way = []
        if made.whole:
            return
    raise AssertionError(made)
