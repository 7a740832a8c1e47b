"""Which clip goes to which card, as the rules of the plan compose."""

from __future__ import annotations

from itertools import pairwise

from farm.domain.batch import Order
from farm.domain.fleet import Needs
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from tests.coordinator.conftest import Ground

CPU = {"card_type": "cpu"}
FAST = {"card_type": "rtx-4090", "vram_bytes": 24 << 30, "tags": ["nvme"]}


def test_a_higher_priority_goes_first(ground: Ground) -> None:
    ground.submit(2, batch_id="low")
    ground.submit(1, batch_id="high", priority=5)
    card = ground.card("a", capacity=1)
    card.say()
    assert card.clips == ["high-00001"]


def test_the_longest_clip_goes_first_unless_the_file_s_order_is_asked_for(ground: Ground) -> None:
    for batch_id, order in (("longest", Order()), ("file", Order(1))):
        ground.submit(1, batch_id=batch_id, order=order, priority=order.every)
    card = ground.card("a", capacity=1)
    card.say()
    assert card.clips == ["file-00001"]


def test_every_nth_clip_shows_early_how_the_batch_will_look(ground: Ground) -> None:
    ground.submit(10, order=Order(4))
    card, seen = ground.card("a", capacity=1), []
    for _ in range(10):
        card.say()
        seen.append(card.clips[0])
        card.render(next(iter(card.held)))
    assert [int(clip[-2:]) for clip in seen] == [1, 10, 5, 9, 2, 3, 4, 6, 7, 8]


def test_projects_take_turns_by_their_weights(ground: Ground) -> None:
    ground.decide(fleet_pb.SetProjectRequest(name="big", weight=3))
    ground.decide(fleet_pb.SetProjectRequest(name="small", weight=1))
    ground.submit(40, batch_id="b-big", project="big")
    ground.submit(40, batch_id="b-small", project="small")
    card, had = ground.card("a", capacity=1), []
    for _ in range(40):
        card.say()
        had.append(card.clips[0][:5])
        card.render(next(iter(card.held)))
    assert had.count("b-big") == 30
    assert had[:4].count("b-big") == 3


def test_a_capped_project_leaves_cards_to_others_and_bursts_when_nobody_waits(
    ground: Ground,
) -> None:
    ground.decide(fleet_pb.SetProjectRequest(name="show", cap=1, burst=2))
    ground.submit(9, batch_id="show", project="show", priority=9)
    ground.submit(1, batch_id="other", project="other")
    cards = [ground.card(name, capacity=1) for name in "abcd"]
    for card in cards:
        card.say()
    assert [card.clips for card in cards] == [["show-00001"], ["other-00001"], ["show-00002"], []]


def test_a_limit_is_shared_by_all_batches_that_name_it(ground: Ground) -> None:
    ground.decide(fleet_pb.SetLimitRequest(name="licence", most=2))
    ground.submit(2, batch_id="x", limits=("licence",))
    ground.submit(2, batch_id="y", limits=("licence",))
    ground.submit(1, batch_id="z")
    cards = [ground.card(name, capacity=1) for name in "abcd"]
    for card in cards:
        card.say()
    assert [card.clips for card in cards] == [["x-00001"], ["x-00002"], ["z-00001"], []]
    cards[0].render(("x-00001", 1))
    assert cards[0].clips == ["y-00001"]


def test_a_batch_goes_only_to_cards_that_have_what_it_needs(ground: Ground) -> None:
    ground.submit(2, needs=Needs(card_types=("rtx-4090",), vram_bytes=16 << 30, tags=("nvme",)))
    cpu, fast = ground.card("cpu", report=CPU), ground.card("fast", report=FAST)
    cpu.say()
    fast.say()
    assert (cpu.clips, fast.clips) == ([], ["b1-00001"])


def test_a_card_is_not_given_more_than_keeps_it_busy(ground: Ground) -> None:
    """What is not handed out yet can still go to whichever card is free first."""
    ground.submit(9, frames=33 * 5)
    card = ground.card("a", capacity=4, seconds=10.0)
    card.say()
    card.say(card.chunk(("b1-00001", 1), 0))
    assert card.clips == ["b1-00001", "b1-00002"], "nothing was measured at the first exchange"
    for chunk in range(1, 5):
        card.say(card.chunk(("b1-00001", 1), chunk))
    card.say(card.take(("b1-00001", 1), frames=33 * 5))
    assert card.clips == ["b1-00002"], "five chunks of ten seconds are enough for now"
    for chunk in range(3):
        card.say(card.chunk(("b1-00002", 1), chunk))
    assert card.clips == ["b1-00002", "b1-00003"], "two chunks before the end it gets the next"


def test_a_card_keeps_to_the_loras_that_it_has_loaded(ground: Ground) -> None:
    ground.submit(2, batch_id="plain", project="one")
    ground.submit(4, batch_id="styled", project="two", lora="oil")
    card, had = ground.card("a", capacity=1), []
    for _ in range(6):
        card.say()
        had.append(card.clips[0].split("-")[0])
        card.render(next(iter(card.held)))
    changes = sum(one != other for one, other in pairwise(had))
    assert changes == 1, f"the LoRAs changed {changes} times: {had}"


def test_a_circuit_s_cards_draw_no_more_than_it_bears(ground: Ground) -> None:
    ground.decide(fleet_pb.SetCircuitRequest(name="wall", watts=500))
    ground.decide(fleet_pb.SetNodeRequest(hostname="rack", circuit="wall"))
    ground.submit(9)
    watts = {"power_cap_watts": 160.0, "hostname": "rack"}
    cards = [ground.card(name, report=watts, capacity=1) for name in "abcd"]
    for card in cards:
        card.say()
        ground.clock.time += 3
    assert [bool(card.held) for card in cards] == [True, True, True, False]
    cards[0].say(cards[0].chunk(("b1-00001", 1), 0))
    cards[3].say()
    assert not cards[3].held


def test_cold_starts_behind_a_fuse_come_one_after_another(ground: Ground) -> None:
    ground.decide(fleet_pb.SetCircuitRequest(name="wall", watts=5000))
    ground.decide(fleet_pb.SetNodeRequest(hostname="rack", circuit="wall"))
    ground.submit(9)
    one, two = (ground.card(n, report={"hostname": "rack"}, capacity=1) for n in "ab")
    one.say()
    two.say()
    assert (len(one.held), len(two.held)) == (1, 0)
    ground.clock.time += ground.policy.stagger_seconds
    two.say()
    assert len(two.held) == 1
