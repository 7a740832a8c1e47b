"""What the board keeps for one card, it keeps for a while."""

from __future__ import annotations

from farm.domain.batch import Batch
from farm.domain.clip import Clip, Work
from farm.domain.fleet import CardFacts
from farm.plan.board import Board
from farm.plan.choose import Chooser
from farm.plan.lineup import Lineup
from farm.plan.policy import Policy


def test_a_clip_is_not_kept_any_longer_for_a_card_that_does_not_come() -> None:
    board = Board()
    board.put_batch(Batch(batch_id="b", name="b", project="p", created_at=0.0), clips=1)
    board.put(Clip(clip_id="b-1", batch_id="b", ordinal=1, frames=33, work=Work(384, 640)))
    lineup = Lineup(board, Policy())
    cards = {name: CardFacts(card_id=name) for name in ("kept for", "other")}
    board.reserve("b-1", "kept for", 60.0)

    def chosen(card_id: str, now: float) -> Clip | None:
        choose = Chooser(board, lineup, Policy()).choose
        return choose(cards[card_id], cards=cards, pace=1.0, now=now, unix_now=now)

    assert chosen("other", 59.0) is None
    assert chosen("kept for", 59.0) is not None
    assert chosen("other", 60.0) is not None
    assert not board.reserved, "and no rule goes on counting with it"
