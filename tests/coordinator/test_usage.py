"""What was rendered, made and used is counted by day and project, and adds up (docs/usage.md)."""

from __future__ import annotations

import pytest

from farm.domain.clip import ClipState
from farm.domain.usage import Usage
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import CardVoice, Ground

DAY = 86_400.0
FIRST_DAY = "2023-11-14"
"""Of the test's clock."""


def usage(ground: Ground, project: str | None = None) -> Usage:
    """As the ledger has it."""
    assert ground.ledger is not None
    return ground.ledger.usage(project=project)[0].usage


def under_way(ground: Ground) -> int:
    """Frames of chunks that may still be reported, and of recorded ones of open clips."""
    store = ground.coordinator.store
    recorded = sum(
        clip.own_frames
        for batch in store.open_batches()
        for clip in store.clips_in_memory(batch.batch_id)
    )
    return recorded + sum(card.frames_open for card in store.cards())


def balanced(ground: Ground) -> Usage:
    """The sums, once they tell what the totals tell, and the formula of docs/usage.md holds."""
    found, totals = usage(ground), ground.coordinator.store.totals()
    assert found.frames_rendered == totals.frames_rendered
    assert found.frames_delivered == totals.frames_delivered
    assert found.clips_delivered == totals.clips_delivered
    lost = found.waste_frames + found.trimmed_frames - found.reused_frames
    assert found.frames_rendered - found.frames_delivered == lost + under_way(ground)
    books = ground.coordinator.books
    assert books.usage.total.frames_rendered == books.totals_written.frames_rendered
    return found


def begin(card: CardVoice) -> tuple[str, int]:
    """Have a card begin what it is given; its clip and attempt."""
    card.say()
    card.start_all()
    clip = next(iter(card.held))
    card.made[clip] = 0
    card.say()
    return clip


def record(card: CardVoice, clip: tuple[str, int], chunk: int, frames: int = 33) -> None:
    """Render a chunk and have it recorded."""
    card.make(clip)
    card.say(card.chunk(clip, chunk, frames))


def test_a_delivered_clip_is_counted_with_what_was_trimmed_of_it(ground: Ground) -> None:
    ground.submit(1, frames=40)
    card = ground.card("c1", seconds=2.0)
    clip = begin(card)
    record(card, clip, 0)
    assert balanced(ground).frames_rendered == 33
    record(card, clip, 1, frames=7)
    card.say(card.take(clip, frames=40))
    found = balanced(ground)
    assert (found.frames_delivered, found.clips_delivered, found.trimmed_frames) == (40, 1, 26)
    assert found.video_seconds == pytest.approx(40 / 24)
    assert found.card_seconds == pytest.approx(4.0)
    assert (found.waste_frames, found.waste_card_seconds, found.measured_joules) == (0, 0.0, 0.0)


def test_frames_in_render_when_a_card_dies_are_waste_and_recorded_ones_are_not(
    ground: Ground,
) -> None:
    ground.submit(1, frames=99)
    card = ground.card("c1", seconds=2.0)
    clip = begin(card)
    record(card, clip, 0)
    card.make(clip)
    ground.coordinator.lost("c1", card.incarnation, "killed")
    assert balanced(ground).waste_frames == 33


def test_a_new_incarnation_wastes_what_the_old_one_had_in_render(ground: Ground) -> None:
    ground.submit(1, frames=99)
    clip = begin(card := ground.card("c1"))
    card.make(clip, chunks=2)
    again = ground.card("c1", incarnation="second")
    again.say()
    assert balanced(ground).waste_frames == 66


def test_a_given_up_clip_wastes_its_recorded_chunks_with_what_they_took(ground: Ground) -> None:
    ground.submit(1, frames=99)
    card = ground.card("c1", seconds=2.0)
    clip = begin(card)
    record(card, clip, 0)
    card.make(clip)
    ground.clock.time += 1.5
    ground.coordinator.cancel("b1", (), "no", ground.request("b1"))
    found = balanced(ground)
    assert found.waste_frames == 66
    assert found.card_seconds == found.waste_card_seconds == pytest.approx(2.0 + 1.5)
    assert found.waste_joules == pytest.approx(found.joules)
    assert found.waste_money == pytest.approx(found.money)


def test_a_chunk_that_is_recorded_as_its_clip_is_given_up_is_waste_too(ground: Ground) -> None:
    ground.submit(1, frames=99)
    clip = begin(card := ground.card("c1", seconds=2.0))
    card.make(clip)
    failure = card.failure(clip, types_pb.FAILURE_CLASS_INPUT)
    card.say(card.chunk(clip, 0), failure)
    for n in range(2, 9):
        if ground.clip("b1-00001").state is ClipState.FAILED:
            break
        ground.clock.time += 3600
        other = ground.card(f"c{n}")
        clip = begin(other)
        other.say(other.failure(clip, types_pb.FAILURE_CLASS_INPUT))
    found = balanced(ground)
    assert found.waste_frames == 33
    assert found.waste_card_seconds == pytest.approx(2.0)


def test_a_clip_that_is_wanted_again_takes_its_frames_back_and_is_no_waste_twice(
    ground: Ground,
) -> None:
    ground.submit(1, frames=66)
    card = ground.card("c1", seconds=2.0)
    record(card, begin(card), 0)
    ground.coordinator.cancel("b1", (), "no", ground.request("b1"))
    ground.clock.time += 60
    ground.coordinator.retry("b1", (), {ClipState.CANCELLED}, ground.request("b1"))
    found = balanced(ground)
    assert (found.waste_frames, found.reused_frames) == (33, 33)
    ground.clock.time += 60
    ground.coordinator.cancel("b1", (), "no", ground.request("b1"))
    found = balanced(ground)
    assert (found.waste_frames, found.reused_frames) == (66, 33)
    assert found.waste_card_seconds == pytest.approx(2.0)


def test_chunks_that_a_later_version_takes_over_are_delivered_twice_and_rendered_once(
    ground: Ground,
) -> None:
    ground.submit(1, frames=66)
    card = ground.card("c1", seconds=2.0)
    clip = begin(card)
    record(card, clip, 0)
    record(card, clip, 1)
    card.say(card.take(clip, frames=66))
    again = batch_pb.RetakeRequest(batch_id="b1", clips=["b1-00001"], from_chunk=1, new_seed=True)
    ground.decide(again)
    clip = begin(card)
    card.made[clip] = 1
    record(card, clip, 1)
    card.say(card.take(clip, frames=66))
    found = balanced(ground)
    assert (found.frames_rendered, found.frames_delivered, found.reused_frames) == (99, 132, 33)


def test_a_cancelled_later_version_wastes_only_what_was_rendered_for_it(ground: Ground) -> None:
    ground.submit(1, frames=66)
    card = ground.card("c1", seconds=2.0)
    clip = begin(card)
    record(card, clip, 0)
    record(card, clip, 1)
    card.say(card.take(clip, frames=66))
    ground.decide(
        batch_pb.RetakeRequest(
            batch_id="b1", clips=["b1-00001"], from_chunk=1, frames=99, new_seed=True
        )
    )
    clip = begin(card)
    card.made[clip] = 1
    record(card, clip, 1)
    ground.coordinator.cancel("b1", (), "no", ground.request("b1"))
    found = balanced(ground)
    assert (found.waste_frames, found.waste_card_seconds) == (33, pytest.approx(2.0))


def test_each_project_has_its_own_frames_on_a_card_with_lanes(ground: Ground) -> None:
    for batch_id, project in (("b1", "dune"), ("b2", "alien")):
        ground.submit(2, batch_id=batch_id, project=project)
    card = ground.card("c1", capacity=4, report={"lanes": 2})
    card.say()
    card.start_all()
    first, second, *_ = card.held
    card.made = {first: 1, second: 2}
    card.frames_rendered = 99
    card.say()
    record(card, first, 0)
    of = {ground.clip(clip_id).batch_id: n for (clip_id, _), n in ((first, 66), (second, 66))}
    assert usage(ground, "dune").frames_rendered == of["b1"]
    assert usage(ground, "alien").frames_rendered == of["b2"]
    assert balanced(ground).frames_rendered == 132


def test_what_is_in_render_when_the_coordinator_dies_is_known_to_the_next_one(
    ground: Ground,
) -> None:
    ground.submit(1, frames=99)
    card = ground.card("c1")
    clip = begin(card)
    record(card, clip, 0)
    card.make(clip)
    card.coordinator = ground.restart()
    card.say()
    balanced(ground)
    ground.coordinator.lost("c1", card.incarnation, "killed")
    found = balanced(ground)
    assert (found.frames_rendered, found.waste_frames) == (66, 33)


def test_an_exchange_that_was_overtaken_wastes_nothing(ground: Ground) -> None:
    ground.submit(1, frames=99)
    card = ground.card("c1")
    clip = begin(card)
    late = card.request()
    card.make(clip)
    ground.coordinator.exchange([late])
    card.say(card.chunk(clip, 0))
    assert balanced(ground).waste_frames == 0


def test_a_card_that_does_not_tell_how_far_it_is_wastes_at_the_end_of_its_lease(
    ground: Ground,
) -> None:
    ground.submit(1, frames=99)
    card = ground.card("c1")
    card.say()
    card.start_all()
    card.frames_rendered = 33
    card.say()
    ground.tick()
    assert ground.coordinator.books.usage.total.waste_frames == 0
    ground.coordinator.cancel("b1", (), "no", ground.request("b1"))
    assert balanced(ground).waste_frames == 33


def test_days_end_at_midnight_utc(ground: Ground) -> None:
    ground.submit(2, frames=33)
    card = ground.card("c1", seconds=1.0)
    for day in range(2):
        clip = begin(card)
        record(card, clip, 0)
        card.say(card.take(clip, frames=33))
        if day == 0:
            ground.clock.time += DAY
    assert ground.ledger is not None
    days = ground.ledger.usage(by=["day", "project"], project="p")
    assert [(row.period, row.usage.clips_delivered) for row in days] == [
        (FIRST_DAY, 1), ("2023-11-15", 1),
    ]  # fmt: skip
    assert ground.ledger.usage_since() == FIRST_DAY


class TestIdling:
    def test_a_card_online_without_a_clip_is_idle_and_written_once_a_minute(
        self, ground: Ground
    ) -> None:
        card = ground.card("c1")
        commits = ground.coordinator.store.usage_since
        for _ in range(5):
            card.say()
            ground.tick(10.0)
        assert commits() == ""
        for _ in range(2):
            card.say()
            ground.tick(10.0)
        assert usage(ground, "").idle_card_seconds == pytest.approx(60.0)

    def test_a_card_at_work_or_away_is_not_idle(self, ground: Ground) -> None:
        ground.submit(1, frames=330)
        card = ground.card("c1", capacity=1)
        begin(card)
        ground.card("gone").say()
        ground.coordinator.lost("gone", "first", "killed")
        for _ in range(8):
            card.say()
            ground.tick(10.0)
        assert usage(ground).idle_card_seconds == 0.0

    def test_energy_beyond_that_of_chunks_is_idle_energy(self, ground: Ground) -> None:
        ground.submit(1, frames=33)
        card = ground.card("c1", seconds=10.0, joules=5_000.0)
        clip = begin(card)
        card.joules = 6_500.0
        card.make(clip)
        entry = card.chunk(clip, 0)
        entry.chunk.energy_joules = 1_400.0
        card.say(entry)
        card.say(card.take(clip, frames=33))
        card.joules = 7_000.0
        for _ in range(7):
            card.say()
            ground.tick(10.0)
        found = balanced(ground)
        assert (found.joules, found.measured_joules) == (1_400.0, 1_400.0)
        assert found.idle_joules == pytest.approx(2_000.0 - 1_400.0)

    def test_a_counter_that_begins_anew_adds_nothing(self, ground: Ground) -> None:
        card = ground.card("c1", joules=5_000.0)
        for joules in (5_000.0, 5_100.0, 20.0, 50.0):
            card.joules = joules
            card.say()
        again = ground.card("c1", incarnation="second", joules=9_000.0)
        for _ in range(7):
            again.say()
            ground.tick(10.0)
        assert usage(ground, "").idle_joules == pytest.approx(0.0)

    def test_what_no_sensor_measures_is_no_idle_energy(self, ground: Ground) -> None:
        card = ground.card("c1", report={"card_type": "rtx-4060-ti", "power_cap_watts": 160.0})
        for _ in range(7):
            card.say()
            ground.tick(10.0)
        found = usage(ground, "")
        assert found.idle_joules == 0.0
        assert found.idle_money == pytest.approx(450 / (3 * 8766) / 60, rel=0.2)


def test_the_fleet_tells_the_sums_of_its_whole_life(ground: Ground) -> None:
    ground.submit(1, frames=40)
    card = ground.card("c1", seconds=2.0)
    clip = begin(card)
    record(card, clip, 0)
    record(card, clip, 1, frames=7)
    card.say(card.take(clip, frames=40))
    ground.restart()
    told = ground.coordinator.fleet()[0].usage
    assert (told.frames_rendered, told.frames_delivered, told.trimmed_frames) == (66, 40, 26)
    assert (told.card_seconds, told.currency) == (pytest.approx(4.0), "USD")


def test_what_others_are_told_is_written_down_and_never_falls(ground: Ground) -> None:
    ground.submit(1, frames=99)
    card = ground.card("c1")
    begin(card)
    card.frames_rendered = 33
    card.say()
    told = ground.coordinator.fleet()[0]
    assert told.usage.frames_rendered == usage(ground).frames_rendered == 0
    ground.tick()
    told = ground.coordinator.fleet()[0]
    assert told.usage.frames_rendered == usage(ground).frames_rendered == 33
