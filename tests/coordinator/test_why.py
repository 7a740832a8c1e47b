"""Why a clip, a batch, a card or a node is as it is: told from what decides."""

from __future__ import annotations

import pytest

from farm.domain.errors import NotFound
from farm.domain.fleet import Needs
from heliostat.v1 import batch_service_pb2 as batch_pb
from heliostat.v1 import fleet_service_pb2 as fleet_pb
from heliostat.v1 import types_pb2 as types_pb
from tests.coordinator.conftest import Ground


def why(ground: Ground, subject: str) -> str:
    found = ground.coordinator.why(subject)
    return " ".join([found.answer, *found.because, *found.remedies])


def test_a_farm_without_cards_says_so(ground: Ground) -> None:
    ground.submit(1)
    assert "the farm has none" in why(ground, "b1-00001")
    assert "farm-node join" in why(ground, "b1")


def test_a_clip_that_no_card_can_have_says_what_they_lack(ground: Ground) -> None:
    ground.card("a", report={"card_type": "cpu"}).say()
    ground.submit(1, needs=Needs(card_types=("h100",)))
    assert "is a cpu, the batch wants h100" in why(ground, "b1-00001")


def test_a_profile_that_no_card_offers_is_said_with_what_helps(ground: Ground) -> None:
    ground.card("a", report={"profile": "fast"}).say()
    ground.submit(1, quality="exact")
    said = why(ground, "b1-00001")
    assert "A card renders with the profile fast, the clip's quality is exact." in said
    assert "submit it with the quality standard" in said
    assert "none of 1 waiting clip may come here" in why(ground, "a")
    ground.card("b", report={"profiles": ["fast", "exact"]}).say()
    assert "Card b renders it" in why(ground, "b1-00001")
    ground.submit(1, batch_id="b2", needs=Needs(profile="fast-fp8"))
    said = why(ground, "b2-00001")
    assert "A card renders with the profile fast or exact, the batch wants fast-fp8." in said
    assert "`farm amend b2 --profile NAME`" in said


def test_clips_of_a_stack_wait_for_its_cards_while_others_are_upgraded(ground: Ground) -> None:
    old, new = "torch-2.13.0,cpu,exact,x264", "torch-2.14.0,cpu,exact,x264"
    report = {"profiles": ["exact"]}
    upgraded = ground.card("a", report={**report, "stack_id": new})
    upgraded.say()
    ground.submit(1, needs=Needs(stack_id=old))
    assert not upgraded.say().wanted
    assert f"has the stack {new}, the batch wants {old}" in why(ground, "b1-00001")
    ground.restart()
    kept = ground.card("b", report={**report, "stack_id": old})
    assert not ground.card("a", report=upgraded.report).say().wanted
    assert kept.say().wanted


def test_a_line_says_how_long_it_is_and_when_it_should_move(ground: Ground) -> None:
    ground.submit(5)
    card = ground.card("a", capacity=1, seconds=30.0)
    card.say()
    card.say(card.chunk(("b1-00001", 1), 0))
    assert "3 clips go before it" in why(ground, "b1-00005")
    assert "it should start in about" in why(ground, "b1-00005")
    assert "Card a renders it; it should be done in about 30 seconds." in why(ground, "b1-00001")


def test_a_locked_fleet_says_how_to_open_it(ground: Ground) -> None:
    ground.card("a").say()
    locked = types_pb.STANDING_LOCKED
    asked = fleet_pb.SetStandingRequest(targets=["host"], standing=locked, reason="new fans")
    ground.decide(asked)
    ground.submit(1)
    assert "locked: new fans" in why(ground, "b1-00001")
    assert "`farm node unlock host` opens it" in why(ground, "a")
    assert "host is locked and takes no new clips: new fans." in why(ground, "host")


def test_a_limit_a_cap_and_a_pause_name_their_remedies(ground: Ground) -> None:
    ground.decide(fleet_pb.SetLimitRequest(name="licence", most=1))
    ground.submit(2, limits=("licence",))
    for name in "ab":
        ground.card(name, capacity=1).say()
    assert "`farm limit set licence NUMBER`" in why(ground, "b1-00002")
    assert "is idle" in why(ground, "b")
    assert "the limit licence is reached" in why(ground, "b")
    ground.decide(batch_pb.PauseRequest(batch_id="b1", reason="wrong grade"))
    assert "its batch is paused: wrong grade." in why(ground, "b1-00002")
    assert "`farm resume b1`" in why(ground, "b1")


def test_what_depends_on_others_names_them(ground: Ground) -> None:
    ground.submit(2, after={2: [1]})
    ground.submit(1, batch_id="b2", after_batches=("b1",))
    assert "Clip 00001 is queued." in why(ground, "b1-00002")
    assert "Batch b1 has 2 open clips." in why(ground, "b2-00001")


def test_nothing_of_that_name_is_an_error_that_helps(ground: Ground) -> None:
    with pytest.raises(NotFound, match="name a clip as BATCH/NAME"):
        why(ground, "nobody")
