"""Questions for logs ride the exchange, and commits are told of in the log."""

from __future__ import annotations

import logging

import pytest

from farm.coordinator.questions import ASKED_SECONDS, OPEN_MAX, TooManyQuestions
from heliostat.v1 import node_service_pb2 as node_pb
from tests.coordinator.conftest import Ground


def asked(ground: Ground, *cards: str) -> int:
    return ground.coordinator.ask_logs(node_pb.LogQuestion(lines_max=5), cards)


def test_a_card_is_asked_until_it_answers(ground: Ground):
    card, other = ground.card("n1-0"), ground.card("n1-1")
    assert not card.say().logs
    number = asked(ground, "n1-0")
    assert not other.say().logs
    for _ in range(2):
        (question,) = card.say().logs
        assert (question.number, question.lines_max) == (number, 5)
    request = card.request()
    request.logs.add(number=number, lines=["{}"])
    (response,) = ground.coordinator.exchange([request])
    assert not response.logs
    answers = ground.coordinator.log_answers(number)
    assert {card_id: list(page.lines) for card_id, page in answers.items()} == {"n1-0": ["{}"]}


def test_a_card_that_was_not_asked_answers_in_vain(ground: Ground):
    ground.card("n1-0").say()
    number = asked(ground, "n1-0")
    request = ground.card("n1-1").request()
    request.logs.add(number=number, lines=["{}"])
    ground.coordinator.exchange([request])
    assert not ground.coordinator.log_answers(number)


def test_questions_are_few_and_end(ground: Ground):
    card = ground.card("n1-0")
    card.say()
    for _ in range(OPEN_MAX):
        asked(ground, "n1-0")
    with pytest.raises(TooManyQuestions, match=f"at most {OPEN_MAX}"):
        asked(ground, "n1-0")
    assert 0 < len(card.say().logs) < OPEN_MAX
    ground.clock.time += ASKED_SECONDS
    assert not card.say().logs
    with pytest.raises(TooManyQuestions):
        asked(ground, *map(str, range(1_000)))


def test_another_coordinator_does_not_take_an_old_answer_for_its_own(ground: Ground):
    before = asked(ground, "n1-0")
    ground.restart()
    assert asked(ground, "n1-0") > before


def test_an_exchange_that_changes_nothing_logs_nothing(
    ground: Ground, caplog: pytest.LogCaptureFixture
):
    card = ground.card("n1-0")
    ground.submit(1)
    with caplog.at_level(logging.INFO, logger="farm"):
        card.say()
        (clip,) = card.clips
        (lease,) = caplog.records
        assert lease.getMessage() == "lease: leased, 0 of 2 chunks"
        assert (lease.clip_id, lease.attempt, lease.card_id) == (clip, 1, "n1-0")
        card.start_all()
        caplog.clear()
        for _ in range(3):
            card.say()
            ground.tick()
    assert not caplog.records
