"""What a quote says of a fleet that is drawn by hand."""

from __future__ import annotations

from dataclasses import replace

import pytest

from farm.domain.batch import Batch, Budget, Order
from farm.domain.clip import Work
from farm.domain.fleet import CardFacts, Needs, Standing
from farm.domain.project import Project
from farm.domain.quote import Quote
from farm.domain.spec import ClipSpec, NewClip, Origin
from farm.plan.economics import HELIOS
from farm.plan.picture import BatchSeen, CardSeen, Held, Picture
from farm.plan.quote import Ask, Rates, above, ask_of, below_one_clip, quote, rest_of
from farm.plan.tariff import Tariff, parse_cloud, parse_prices
from farm.plan.timing import Timing

NOW = 1_700_000_000.0
WORK = Work(384, 640, (1, 1, 1))
QUIET = Timing(
    chunks=24, spread=0.02, chunk_gap=0.0, clip_gap=0.0, first_gap=0.0, take_gap=0.0, watts=100.0
)
RATES = Rates(tariff=Tariff(electricity_price=0.5), cost=lambda _: 1.0, model=None)


def card(name: str, pace: float = 10.0, **facts: object) -> CardSeen:
    about = CardFacts(card_id=name, card_type="rtx-4090", pace=pace)
    return CardSeen(
        facts=replace(about, **facts),  # type: ignore[arg-type]
        standing=Standing.OPEN,
        schedule="",
        timing=QUIET if pace else Timing(),
        silent=1.0,
    )


def picture(*cards: CardSeen, batches: tuple[BatchSeen, ...] = ()) -> Picture:
    return Picture(
        at=NOW,
        cards=cards,
        batches=batches,
        projects={},
        limits={},
        timing=QUIET,
        waste=0.0,
    )


def batch(name: str = "new", **more: object) -> Batch:
    return replace(Batch(batch_id=name, name=name, project="default", created_at=NOW), **more)  # type: ignore[arg-type]


def asked(sizes: dict[int, int], name: str = "new", **more: object) -> Ask:
    """Chunks → clips."""
    return Ask(
        batch=batch(name, **more),
        sizes={(WORK, chunks): clips for chunks, clips in sizes.items()},
        frames=sum(33 * chunks * clips for chunks, clips in sizes.items()),
    )


def seconds(told: Quote) -> float:
    assert told.hours is not None
    return 3600 * told.hours.likely


class TestTime:
    def test_one_card_takes_its_pace_for_each_chunk(self) -> None:
        told = quote(asked({6: 2}), picture(card("a")), RATES)
        assert seconds(told) == pytest.approx(120, abs=1)
        assert told.card_hours is not None
        assert told.card_hours.likely == pytest.approx(120 / 3600)
        assert (told.cards, told.cards_measured, told.basis) == (1, 1, "measured")

    def test_the_longest_clip_decides_where_no_card_can_help(self) -> None:
        told = quote(asked({60: 1, 1: 3}), picture(card("a"), card("b")), RATES)
        assert seconds(told) == pytest.approx(600, abs=3)

    def test_a_slow_cards_last_clip_goes_to_a_fast_one(self) -> None:
        told = quote(asked({40: 2}), picture(card("fast", 1.0), card("slow", 10.0)), RATES)
        assert 50 < seconds(told) < 120  # alone, the slow one would take 400

    def test_the_queue_of_the_same_project_comes_first_and_a_higher_priority_does_not_wait(
        self,
    ) -> None:
        before = BatchSeen(batch=batch("old"), waiting={(WORK, 10): 4})
        seen = picture(card("a"), batches=(before,))
        assert seconds(quote(asked({6: 1}), seen, RATES)) == pytest.approx(460, abs=2)
        assert seconds(quote(asked({6: 1}, priority=5), seen, RATES)) == pytest.approx(60, abs=2)

    def test_projects_take_turns_by_their_weights(self) -> None:
        before = BatchSeen(batch=batch("old", project="b"), waiting={(WORK, 1): 100})
        seen = replace(
            picture(card("a"), batches=(before,)),
            projects={"default": Project(name="default", weight=3.0), "b": Project(name="b")},
        )
        told = quote(asked({1: 30}), seen, RATES)
        assert seconds(told) == pytest.approx(400, rel=0.05)  # three of four turns are its own

    @pytest.mark.parametrize(
        ("pace", "end"),
        [
            pytest.param(30.0, 208, id="it hears of it before its chunk ends"),
            pytest.param(10.0, 78, id="it has begun another chunk when it hears of it"),
        ],
    )
    def test_a_card_with_a_lower_clip_gives_it_up_at_its_chunks_end(
        self, pace: float, end: float
    ) -> None:
        held = (Held("old", WORK, 50, True, 2.0),)
        before = BatchSeen(batch=batch("old"), waiting={})
        seen = picture(replace(card("a", pace), held=held), batches=(before,))
        told = quote(asked({6: 1}, priority=5), seen, RATES)
        assert seconds(told) == pytest.approx(end, abs=2)
        after = quote(asked({6: 1}), seen, RATES)
        assert seconds(after) == pytest.approx(56 * pace - 2, abs=2)

    def test_a_card_that_was_told_to_yield_gives_its_clip_to_the_one_that_it_is_kept_for(
        self,
    ) -> None:
        held = Held("old", WORK, 50, True, 2.0, yielding=True, heard=True, kept_for="fast")
        before = BatchSeen(batch=batch("old"), waiting={})
        slow = replace(card("slow", 10.0), held=(held,))
        seen = picture(slow, card("fast", 1.0), batches=(before,))
        left = quote(rest_of(seen, before.batch), seen, RATES)
        assert seconds(left) == pytest.approx(8 + 49, abs=2)

    def test_a_slow_card_takes_one_of_the_last_clips_long_before_it_begins_it(self) -> None:
        behind = BatchSeen(batch=batch("old"), waiting={(WORK, 4): 40})
        seen = picture(card("slow", 20.0), card("fast", 1.0), batches=(behind,))
        told = quote(asked({4: 2, 1: 60}, priority=5), seen, RATES)
        assert seconds(told) == pytest.approx(100, abs=3)  # 62 without it

    def test_clips_of_a_length_come_in_the_order_of_the_file(self) -> None:
        dear = Work(384, 640, (9, 9, 9))
        rates = replace(RATES, cost=lambda work: 9.0 if work == dear else 1.0)
        cards = picture(
            replace(card("slow", 10.0), silent=1.0), replace(card("fast", 1.0), silent=0.5)
        )
        ask = asked({})
        sizes = {(dear, 1): 1, (WORK, 1): 1}
        first = replace(ask, sizes=sizes, order=((WORK, 1), (dear, 1)))
        last = replace(ask, sizes=sizes, order=((dear, 1), (WORK, 1)))
        assert seconds(quote(first, cards, rates)) == pytest.approx(10, abs=1)
        assert seconds(quote(last, cards, rates)) == pytest.approx(90, abs=2)

    def test_a_limit_keeps_cards_away(self) -> None:
        seen = replace(picture(card("a"), card("b")), limits={"licence": 1})
        told = quote(asked({6: 4}, limits=("licence",)), seen, RATES)
        assert seconds(told) == pytest.approx(240, abs=3)

    def test_a_card_with_lanes_renders_several_at_once(self) -> None:
        told = quote(asked({6: 2}), picture(card("a", lanes=2)), RATES)
        assert seconds(told) == pytest.approx(120, abs=2)

    def test_a_node_outside_its_hours_counts_from_when_they_begin(self) -> None:
        # 2023-11-14 22:13:20 UTC
        closed = replace(card("a"), standing=Standing.PAUSED, schedule="23:00-24:00")
        told = quote(asked({6: 1}), picture(closed), RATES)
        assert seconds(told) == pytest.approx(46 * 60 + 40 + 60, abs=2)

    def test_what_does_not_end_within_the_hours_goes_on_when_they_begin_again(self) -> None:
        open_now = replace(card("a"), schedule="22:00-22:20")
        told = quote(asked({60: 1}), picture(open_now), RATES)
        assert seconds(told) == pytest.approx(86_400 - 800 + 200, abs=30)

    def test_in_the_files_order_all_sizes_come_alike(self) -> None:
        told = quote(asked({1: 50, 9: 50}, order=Order(1)), picture(card("a")), RATES)
        assert seconds(told) == pytest.approx(5000, rel=0.01)

    def test_100_000_clips_on_62_cards_take_all_the_work_over_all_the_speed(self) -> None:
        cards = [card(f"c{i}", 5.0 + i % 7) for i in range(62)]
        told = quote(asked(dict.fromkeys(range(1, 21), 5000)), picture(*cards), RATES)
        speed = sum(1 / each.facts.pace for each in cards)
        assert seconds(told) == pytest.approx(1_050_000 / speed, rel=0.01)

    def test_a_million_clips_go_in_groups(self) -> None:
        cards = [card(f"c{i}") for i in range(10)]
        told = quote(asked({2: 1_000_000}), picture(*cards), RATES)
        assert seconds(told) == pytest.approx(2_000_000, rel=0.01)


class TestWhatIsNotKnown:
    def test_without_a_card_there_is_no_end(self) -> None:
        needs = Needs(tags=("fast",))
        told = quote(asked({6: 1}, needs=needs), picture(card("a")), RATES)
        assert (told.hours, told.money, told.cards) == (None, None, 0)
        assert "cannot be foreseen" in told.notes[0]

    def test_a_card_that_is_not_measured_is_taken_for_its_like_and_widens_the_range(self) -> None:
        sure = quote(asked({6: 20}), picture(card("a"), card("b")), RATES)
        unsure = quote(asked({6: 20}), picture(card("a"), card("b", 0.0)), RATES)
        assert unsure.basis == "calibrated"
        assert seconds(unsure) == pytest.approx(seconds(sure), rel=0.02)
        assert sure.hours is not None
        assert unsure.hours is not None
        assert unsure.hours.high > sure.hours.high
        assert unsure.hours.low < sure.hours.low

    def test_the_card_model_says_how_fast_an_unknown_card_should_be(self) -> None:
        rates = replace(RATES, model=HELIOS["distilled"])
        fast = quote(asked({6: 1}), picture(card("a", 0.0, card_type="h100")), rates)
        slow = quote(asked({6: 1}), picture(card("a", 0.0, card_type="rtx-4060-ti")), rates)
        assert slow.basis == "estimated"
        assert seconds(slow) > 5 * seconds(fast)

    def test_measured_spread_widens_the_range(self) -> None:
        noisy = replace(card("a"), timing=replace(QUIET, chunks=3, spread=0.5))
        steady = quote(asked({6: 20}), picture(card("a")), RATES)
        told = quote(asked({6: 20}), picture(noisy), RATES)
        assert told.card_hours is not None
        assert steady.card_hours is not None
        assert told.card_hours.high > steady.card_hours.high


class TestMoney:
    def test_energy_is_measured_watts_over_the_cards_time(self) -> None:
        told = quote(asked({36: 10}), picture(card("a")), RATES)  # an hour of one card
        assert told.kilowatt_hours is not None
        assert told.electricity_money is not None
        assert told.money is not None
        assert told.kilowatt_hours.likely == pytest.approx(0.1)
        assert told.electricity_money.likely == pytest.approx(0.05)
        wear = 1_800 / (3 * 8766)
        assert told.money.likely == pytest.approx(0.05 + wear)
        assert told.money_per_clip == pytest.approx(told.money.likely / 10)
        assert told.cloud_money.likely == 40

    def test_time_and_money_are_linear_in_frames(self) -> None:
        short = quote(asked({5: 100}), picture(card("a")), RATES)
        long = quote(asked({60: 100}), picture(card("a")), RATES)
        assert short.money is not None
        assert long.money is not None
        assert long.money.likely == pytest.approx(12 * short.money.likely)

    def test_takes_that_are_there_already_cost_nothing(self) -> None:
        spec = ClipSpec(prompt="p", frames=66, height=384, width=640, fps=24, seed=1)
        clips = [
            NewClip(ordinal=1, row=2, name="a", spec=spec),
            NewClip(ordinal=2, row=3, name="b", spec=spec, origin=Origin("reuse", "old", 2)),
            NewClip(ordinal=3, row=4, name="c", spec=spec, origin=Origin("extend", "old", 1)),
        ]
        ask = ask_of(batch(), clips)
        assert (ask.clips, ask.chunks, ask.reused) == (2, 3, 1)

    def test_a_budget_is_held_against_the_quote(self) -> None:
        told = quote(asked({36: 10}), picture(card("a")), RATES)
        assert "below one clip" in below_one_clip(Budget(kilowatt_hours=0.001), told)
        assert not below_one_clip(Budget(kilowatt_hours=0.05), told)
        assert "of 0.05" in above(Budget(kilowatt_hours=0.05), told)
        assert not above(Budget(hours=2.0), told)

    @pytest.mark.parametrize("text", ["rtx-4090", "rtx-4090=-1", "=3", "a=nan"])
    def test_a_price_that_is_none_is_refused(self, text: str) -> None:
        with pytest.raises(ValueError, match="TYPE=PRICE"):
            parse_prices(text)

    def test_prices_are_read(self) -> None:
        assert parse_prices("RTX-4090=1500, h100=2e4") == {"rtx-4090": 1500, "h100": 20000}
        assert parse_cloud("1,2,3") == (1, 2, 3)
        with pytest.raises(ValueError, match="rising order"):
            parse_cloud("3,2,1")


def test_a_quote_is_read_back_as_it_was_written() -> None:
    told = quote(asked({6: 2}), picture(card("a")), RATES)
    assert Quote.of_values(told.values()) == told


def test_what_is_left_of_a_batch_counts_what_cards_hold() -> None:
    old = BatchSeen(batch=batch("old"), waiting={(WORK, 3): 2})
    seen = picture(replace(card("a"), held=(Held("old", WORK, 4, True, 5.0),)), batches=(old,))
    left = rest_of(seen, old.batch)
    assert (left.clips, left.chunks) == (3, 10)
    assert seconds(quote(left, seen, RATES)) == pytest.approx(95, abs=2)
