"""What Ray's autoscaler is asked for, and when an agent ends so that it may take a node away."""

from __future__ import annotations

import pytest

from farm.fleet_ray.demand import CARDS_MAX, bundles, cards_in_all
from farm.fleet_ray.placement import is_drained
from heliostat.v1 import types_pb2 as types_pb
from node_agent.cluster.ray_node import CardFacts, resources_of


def card(kind: str, *clips: str, online: bool = True, **fields: object) -> types_pb.Card:
    return types_pb.Card(card_type=kind, clip_ids=clips, online=online, **fields)  # type: ignore[arg-type]


def test_cards_that_work_are_asked_for_beside_those_that_are_wanted():
    fleet = [card("cpu", "a"), card("cpu"), card("h100", "b", online=False), card("h100", "c")]
    assert cards_in_all({"cpu": 2, "rtx-4060-ti": 1}, fleet) == {
        "cpu": 3,
        "h100": 1,
        "rtx-4060-ti": 1,
    }


def test_nothing_is_asked_for_when_nothing_works_or_waits():
    assert cards_in_all({}, [card("cpu"), card("h100", "b", online=False)]) == {}
    assert bundles({}) == []


def test_never_more_than_the_limit_is_asked_for():
    asked = cards_in_all({"a": CARDS_MAX - 1, "b": 5, "c": 5}, [])
    assert asked == {"a": CARDS_MAX - 1, "b": 1}


def test_a_bundle_fits_the_resources_of_a_node_with_such_a_card():
    node = resources_of([CardFacts(card_type="rtx-4060-ti"), CardFacts(card_type="cpu")])
    for bundle in bundles({"rtx-4060-ti": 1, "cpu": 1, "any": 1}):
        assert all(node.get(name, 0) >= amount for name, amount in bundle.items())
    assert not bundles({"h100": 1})[0].keys() <= node.keys()


@pytest.mark.parametrize(
    ("standing", "clips", "drained"),
    [
        (types_pb.STANDING_DRAINING, [], True),
        (types_pb.STANDING_DRAINING, ["held"], False),
        (types_pb.STANDING_PAUSED, [], False),
        (types_pb.STANDING_OPEN, [], False),
    ],
)
def test_an_agent_ends_when_its_card_drains_and_holds_nothing(
    standing: types_pb.Standing.ValueType, clips: list[str], drained: bool
):
    assert is_drained(card("cpu", *clips, standing=standing)) is drained
