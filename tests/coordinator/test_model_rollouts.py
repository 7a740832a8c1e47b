"""A model comes to one node from its source, to the others from neighbours, and is promoted."""

from __future__ import annotations

import pytest

from farm.domain.fleet import Needs
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import node_service_pb2 as node_pb
from tests.coordinator.conftest import Ground
from tests.coordinator.rolling import (
    RollingCard,
    accept,
    back,
    begin,
    fleet_of,
    pass_time,
    state,
    steps,
)

# What is written is the same in both databases; tests/store reads it back from either.
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

A, B = "a1" * 32, "b2" * 32


def start(ground: Ground, **more: object) -> int:
    kind = fleet_pb.ROLLOUT_KIND_MODEL
    return begin(ground, B, kind=kind, source="hub:org/model", name="helios-2", **more)


def give(card: RollingCard, share: float = 1.0) -> None:
    """So much of the model is on its node now."""
    card.holding = node_pb.ModelHolding(
        digest=B,
        bytes=int(100 * share),
        bytes_total=100,
        complete=share == 1.0,
        url=f"https://{card.card_id}:9000",
        certificate="pem",
        pieces_sha256="cd" * 32,
    )


def digests(cards: list[RollingCard]) -> list[str]:
    return [card.digest for card in cards]


def test_only_the_canarys_node_asks_the_source_and_the_others_ask_it_once_it_passed(
    ground: Ground,
) -> None:
    first, second, third = cards = fleet_of(ground, 3, digest=A)
    start(ground, cards=["card-0"])
    pass_time(ground, cards, 3)
    offer = first.response.outfit.offer
    assert (offer.digest, offer.name, offer.source, offer.seeds) == (
        B, "helios-2", "hub:org/model", True,
    )  # fmt: skip
    assert offer.token
    assert not second.response.outfit.HasField("offer")
    give(first, 0.4)
    pass_time(ground, cards, 2)
    (view,) = ground.coordinator.fleet()[0].rollouts
    assert "40%" in view.cards[0].detail
    assert digests(cards) == [A, A, A]
    give(first)
    pass_time(ground, cards, 10)
    assert state(ground) == "waiting"
    assert digests(cards) == [B, A, A]
    offer = second.response.outfit.offer
    assert (offer.seeds, offer.pieces_sha256) == (False, "cd" * 32)
    assert [each.node for each in offer.neighbours] == ["card-0"]
    give(second, 0.5)
    pass_time(ground, cards, 2)
    assert [each.node for each in third.response.outfit.offer.neighbours] == ["card-0", "card-1"]
    assert [each.url for each in offer.neighbours] == ["https://card-0:9000"]


def test_old_and_new_render_side_by_side_until_it_is_accepted(ground: Ground) -> None:
    cards = fleet_of(ground, 3, digest=A)
    start(ground, cards=["card-0"])
    give(cards[0])
    pass_time(ground, cards, 10)
    for card in cards:
        give(card)
    ground.submit(2, frames=99, batch_id="old", needs=Needs(model=A))
    ground.submit(1, frames=99, batch_id="new", needs=Needs(model=B))
    for card in cards:
        card.more = {"models": [card.digest]}
    pass_time(ground, cards, 3)
    assert [card.clips for card in cards] == [["new-00001"], ["old-00001"], ["old-00002"]]
    accept(ground)
    pass_time(ground, cards, 10)
    assert digests(cards) == [B, A, A], "they end what they hold"
    for card in cards:
        card.finish()
    pass_time(ground, cards, 20)
    assert (digests(cards), state(ground)) == ([B, B, B], "done")


def test_a_card_with_the_old_digest_waits_for_what_asks_for_it(ground: Ground) -> None:
    cards = fleet_of(ground, 2, digest=A)
    start(ground, cards=["card-0"])
    for card in cards:
        give(card)
    pass_time(ground, cards, 10)
    ground.submit(3, frames=33, batch_id="old", needs=Needs(model=A[:12]))
    old = cards[1]
    cards[0].more, old.more = {"models": [B]}, {"models": [A]}
    accept(ground)
    pass_time(ground, cards, 10)
    assert (old.digest, state(ground)) == (A, "rolling")
    (view,) = ground.coordinator.fleet()[0].rollouts
    assert "is kept for batch old" in view.cards[-1].detail
    for _ in range(3):
        old.finish()
        pass_time(ground, cards, 1)
    assert ground.states() == {"done": 3}
    pass_time(ground, cards, 10)
    assert (old.digest, state(ground)) == (B, "done")


def test_what_a_card_has_loaded_outlives_the_coordinator_and_one_command_brings_it_back(
    ground: Ground,
) -> None:
    cards = fleet_of(ground, 2, digest=A)
    start(ground)
    for card in cards:
        give(card)
    pass_time(ground, cards, 10)
    accept(ground)
    pass_time(ground, cards, 15)
    assert digests(cards) == [B, B]
    ground.restart()
    pass_time(ground, cards, 2)
    assert cards[1].response.outfit.model_digest == B
    back(ground)
    ground.restart()
    pass_time(ground, cards, 15)
    assert digests(cards) == [A, A]
    assert set(steps(ground).values()) == {"returned"}
    assert cards[0].response.outfit.model_digest == A, "as long as nothing else is rolled out"


def test_a_model_that_does_not_equal_itself_goes_back(ground: Ground) -> None:
    cards = fleet_of(ground, 2, digest=A)
    start(ground, cards=["card-0"])
    give(cards[0])
    pass_time(ground, cards, 3)
    cards[0].passes = {cards[0].release: False}
    pass_time(ground, cards, 10)
    assert state(ground) == "back"
    assert digests(cards) == [A, A]


def test_a_clip_that_takes_chunks_over_goes_on_with_their_model(ground: Ground) -> None:
    cards = fleet_of(ground, 2, digest=A)
    ground.submit(1, frames=66)
    pass_time(ground, cards, 1)
    for card in cards:
        card.finish()
    assert ground.states() == {"done": 1}
    start(ground, cards=["card-0"])
    for card in cards:
        give(card)
    pass_time(ground, cards, 10)
    assert digests(cards) == [B, A]
    cards[1].silent = True
    ground.tick(50.0)
    ground.decide(batch_pb.RetakeRequest(batch_id="b1", clips=["b1-00001"], frames=99))
    pass_time(ground, cards, 5)
    assert not cards[0].clips
    cards[1].silent = False
    pass_time(ground, cards, 2)
    assert cards[1].clips == ["b1-00002"]


def test_neighbours_are_of_the_rack_first_and_each_node_asks_others(ground: Ground) -> None:
    cards = fleet_of(ground, 40, digest=A)
    for n, card in enumerate(cards):
        card.more = {"tags": [f"rack=r{n % 4}"]}
    start(ground, cards=["card-0"])
    give(cards[0])
    pass_time(ground, cards, 8)
    assert state(ground) == "waiting"
    for card in cards:
        give(card, 1.0 if card.card_id in ("card-0", "card-1") else 0.5)
    pass_time(ground, cards, 2)
    asked: dict[str, int] = {}
    for n, card in enumerate(cards[2:], 2):
        names = [each.node for each in card.response.outfit.offer.neighbours]
        assert len(names) == len(set(names)) == 16
        assert card.card_id not in names
        assert {"card-0", "card-1"} <= set(names), "who has all of it"
        racks = [int(name.removeprefix("card-")) % 4 for name in names]
        assert racks.count(n % 4) >= 8
        for name in names:
            asked[name] = asked.get(name, 0) + 1
    parts = [count for name, count in asked.items() if name not in ("card-0", "card-1")]
    assert max(parts) <= 3 * min(parts), "nobody is asked by all"


def test_a_large_rack_still_knows_nodes_elsewhere(ground: Ground) -> None:
    cards = fleet_of(ground, 40, digest=A)
    for n, card in enumerate(cards):
        card.more = {"tags": [f"rack=r{n % 2}"]}
    start(ground, cards=["card-0"])
    give(cards[0])
    pass_time(ground, cards, 8)
    for card in cards:
        give(card, 1.0 if card.card_id == "card-0" else 0.5)
    pass_time(ground, cards, 2)
    for n, card in enumerate(cards[1:], 1):
        offer = card.response.outfit.offer
        racks = [int(each.node.removeprefix("card-")) % 2 for each in offer.neighbours]
        assert len(racks) == 16
        assert racks.count(1 - n % 2) >= 4, "what its rack lost is still somewhere"
        assert list(offer.nodes) == sorted(each.card_id for each in cards), "all that take part"
