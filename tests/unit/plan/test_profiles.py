"""Clips go to cards that can render their quality, and where they spare a change of profile."""

from __future__ import annotations

from dataclasses import dataclass, field

from farm.domain.batch import Batch
from farm.domain.clip import Clip, Holder, Leased, Work, step
from farm.domain.fleet import CardFacts, Needs, Standing
from farm.plan.board import Board, Lease
from farm.plan.choose import Chooser
from farm.plan.lineup import Lineup
from farm.plan.policy import Policy
from farm.plan.yields import Seat, yields

BOTH = CardFacts(card_id="both", profiles=("exact", "fast"), pace=10.0)
FAST = CardFacts(card_id="fast", profiles=("fast",), pace=1.0)
UNKNOWN = CardFacts(card_id="unknown")
CARDS = {card.card_id: card for card in (BOTH, FAST, UNKNOWN)}


@dataclass
class Queue:
    """A board that cards are given clips from."""

    board: Board = field(default_factory=Board)

    def __post_init__(self) -> None:
        self.lineup = Lineup(self.board, Policy())
        self.chooser = Chooser(self.board, self.lineup, Policy())

    def batch(
        self, name: str, *qualities: str, profile: str = "", priority: int = 0, frames: int = 33
    ) -> None:
        """A batch with a clip of each quality."""
        batch = Batch(
            batch_id=name,
            name=name,
            project=name,
            created_at=0.0,
            needs=Needs(profile=profile),
            priority=priority,
        )
        self.board.put_batch(batch, clips=len(qualities))
        for number, quality in enumerate(qualities, 1):
            self.board.put(
                Clip(
                    clip_id=f"{name}-{number}",
                    batch_id=name,
                    ordinal=number,
                    frames=frames,
                    work=Work(384, 640),
                    quality=quality,
                )
            )

    def give(self, card: CardFacts) -> str:
        """The clip that a card gets next, and now holds."""
        clip = self.chooser.choose(card, cards=CARDS, pace=1.0, now=0.0, unix_now=0.0)
        if clip is None:
            return ""
        self.board.put(step(clip, Leased(Holder(card.card_id, "first"))))
        self.board.leases[clip.clip_id] = Lease(float("inf"), started=True)
        return clip.clip_id

    def yields(self, *cards: CardFacts) -> list[tuple[str, str]]:
        """(clip, card that it is meant for) of all that is to be given up."""
        seats = {c.card_id: Seat(c, Standing.OPEN, "", c.pace or 1.0) for c in cards}
        found = yields(self.board, self.lineup, self.chooser, seats, Policy(), unix_now=0.0)
        return [(each.clip_id, each.to_card) for each in found]


def test_an_exact_clip_waits_for_a_card_that_offers_it() -> None:
    queue = Queue()
    queue.batch("b", "exact", "standard", "exact")
    assert [queue.give(FAST), queue.give(FAST)] == ["b-2", ""]
    assert [queue.give(BOTH), queue.give(BOTH)] == ["b-1", "b-3"]


def test_a_card_that_has_not_said_what_it_offers_may_have_anything_but_a_pin() -> None:
    queue = Queue()
    queue.batch("pinned", "exact", profile="fast")
    queue.batch("b", "exact")
    assert [queue.give(UNKNOWN), queue.give(UNKNOWN)] == ["b-1", ""]


def test_a_pin_overrules_the_quality() -> None:
    queue = Queue()
    queue.batch("b", "exact", profile="fast")
    assert queue.give(FAST) == "b-1"


def test_a_card_goes_on_with_the_profile_that_it_has_loaded() -> None:
    """A draft is rendered with `fast` where that is offered, a standard clip with `exact`."""
    queue = Queue()
    queue.batch("b", "draft", "standard", "draft", "standard")
    assert [queue.give(BOTH) for _ in range(4)] == ["b-2", "b-4", "b-1", "b-3"]


def test_another_project_waits_a_little_for_the_sake_of_the_profile() -> None:
    queue = Queue()
    queue.batch("a", "draft", "draft")
    assert queue.give(BOTH) == "a-1"
    queue.batch("0", "standard")
    assert queue.give(BOTH) == "a-2"
    assert queue.give(BOTH) == "0-1"


def test_no_card_is_given_up_for_a_clip_that_it_cannot_render() -> None:
    queue = Queue()
    queue.batch("b", "draft", "draft", frames=330)
    assert [queue.give(FAST), queue.give(BOTH)] == ["b-1", "b-2"]
    queue.batch("urgent", "exact", "exact", priority=9)
    assert queue.yields(FAST, BOTH) == [("b-2", "")]


def test_a_clip_does_not_move_to_a_faster_card_that_cannot_render_it() -> None:
    for quality, moved in (("exact", []), ("standard", [("b-1", "fast")])):
        queue = Queue()
        queue.batch("b", quality, frames=3300)
        assert queue.give(BOTH) == "b-1"
        assert queue.yields(FAST, BOTH) == moved


def test_an_idle_card_says_why_an_exact_clip_may_not_come() -> None:
    queue = Queue()
    queue.batch("b", "exact")
    entry = queue.board.entry("b")
    assert entry is not None
    assert queue.chooser.hindrances(entry, BOTH) == ()
    assert queue.chooser.hindrances(entry, FAST) == (
        "renders with the profile fast, the clip's quality is exact",
    )


def test_the_board_knows_the_qualities_that_wait() -> None:
    queue = Queue()
    queue.batch("b", "exact", "draft")
    entry = queue.board.entry("b")
    assert entry is not None
    assert entry.waiting == {"exact", "draft"}
    queue.give(FAST)
    assert entry.waiting == {"exact"}
    assert +entry.qualities == {"exact": 1, "draft": 1}
