"""The ledger has committed, and its reply was lost: nothing that it holds may be forgotten."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from farm.domain.batch import Batch
from farm.domain.clip import ClipState
from tests.coordinator.conftest import Ground
from tests.fixtures.ledger import new_clip


@pytest.mark.parametrize("lost_after", ["publish_batch", "clips_in_memory"])
def test_a_batch_whose_acceptance_got_no_answer_is_rendered(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, lost_after: str
) -> None:
    """Its client asks again, is told that it is accepted, and a card gets its clip."""
    coordinator, card = ground.coordinator, ground.card("a")
    request = ground.request("b1")
    begin(ground, "b1")
    real: Callable[..., object] = getattr(coordinator.store, lost_after)

    def lost(*arguments: object) -> None:
        real(*arguments)
        raise ConnectionError("the server closed the connection")

    with monkeypatch.context() as broken:
        broken.setattr(coordinator.store, lost_after, lost)
        with pytest.raises(ConnectionError):
            coordinator.publish("b1", request)
    begin(ground, "b2")
    assert coordinator.publish("b2", request) == request
    card.say()
    assert ground.states() == {ClipState.LEASED: 1}


def begin(ground: Ground, batch_id: str) -> None:
    """A submission as a gateway stages it."""
    batch = Batch(batch_id=batch_id, name="shots", project="p", created_at=ground.clock.now())
    ground.coordinator.begin(batch)
    ground.coordinator.stage(batch_id, [new_clip(1)])
