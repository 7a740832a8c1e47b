"""The coordinator and a database that dies under it: told so, nothing lost, and on it goes."""

from collections.abc import Iterator

import pytest

from farm.domain.clip import ClipState
from farm.domain.errors import ChunksReleased, LedgerUnavailable
from farm.domain.ledger import RequestRow
from tests.coordinator.conftest import Ground
from tests.fixtures.ledger import Database
from tests.fixtures.postgresql import PostgresServer, running


@pytest.fixture
def mortal() -> Iterator[PostgresServer]:
    with running(durable=True) as server:
        yield server


def test_nothing_is_lost_and_no_card_drops_its_work_when_the_server_dies(mortal: PostgresServer):
    ground = Ground(Database(mortal.ledger()))
    ground.submit(6)
    card = ground.card("c1")
    card.say()
    held = set(card.held)
    assert held
    card.start_all()
    (first, *_) = held
    mortal.kill()
    report = card.chunk(first, 0)
    for _ in range(3):
        with pytest.raises(LedgerUnavailable):
            card.say(report)
    with pytest.raises(LedgerUnavailable):
        ground.coordinator.cancel("b1", [], "called off", ground.request("b1"))
    with pytest.raises(LedgerUnavailable):
        ground.coordinator.fleet()
    mortal.start()
    response = card.say(report)
    assert set(card.held) == held
    assert len(response.verdicts) == 1
    assert ground.clip(first[0]).chunks_done == 1
    assert ground.states() == {ClipState.LEASED: len(held), ClipState.QUEUED: 6 - len(held)}
    ground.clock.time += 10
    assert ground.coordinator.tick() == 0
    for opened in ground.database.opened:
        opened.close()


def test_a_retry_of_what_was_let_go_is_refused_with_what_to_do(ground: Ground):
    ground.submit(2)
    card = ground.card("c1")
    card.say()
    clip = next(iter(card.held))
    card.start_all()
    card.say(card.chunk(clip, 0))
    ground.coordinator.cancel("b1", [], "called off", ground.request("b1"))
    assert ground.coordinator.release(ground.clock.now() + 1, 0.0, 10).clips == 2
    other = next(name for name in ("b1-00001", "b1-00002") if name != clip[0])
    states = [ClipState.CANCELLED]
    with pytest.raises(ChunksReleased, match="submit them again"):
        ground.coordinator.retry("b1", [clip[0]], states, RequestRow("r1", "d", "b1"))
    answer = ground.coordinator.retry("b1", [], states, RequestRow("r2", "d", "b1"))
    assert answer.result == 1
    assert ground.clip(other).state is ClipState.QUEUED
