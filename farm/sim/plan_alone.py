"""The plan alone, at the level of clips: no coordinator, no ledger, no messages.

The board, the rules that choose, and those that ask for yields are the real ones, and so is the
clips' state machine. A card takes a clip, and some time later it has ended it, died or yielded it.
That is coarse, and fast enough for ten thousand cards over a day.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from sortedcontainers import SortedList

from farm.domain.batch import Batch
from farm.domain.clip import (
    AttemptLost,
    Clip,
    ClipState,
    Finished,
    Holder,
    Leased,
    Work,
    Yielded,
    step,
)
from farm.domain.fleet import CardFacts, Standing
from farm.domain.project import Project
from farm.plan.board import Board, Lease
from farm.plan.choose import Chooser
from farm.plan.due import look_at_deadlines
from farm.plan.lineup import Lineup
from farm.plan.policy import Policy
from farm.plan.retry import after_loss
from farm.plan.share import charged
from farm.plan.yields import Seat, yields

DOWN_SECONDS: Final = 120.0
"""From a card's death to its next clip."""
TICK_SECONDS: Final = 60.0
"""Virtual time between two looks at who has to yield."""


@dataclass(slots=True)
class Seated:
    """A card and what it renders."""

    seat: Seat
    clip: Clip | None = None
    began: float = 0.0
    turn: int = 0
    """Grows with every change: an event of an earlier turn is void."""
    is_down: bool = False


@dataclass(slots=True)
class Tally:
    """What a run came to."""

    done: int = 0
    failed: int = 0
    deaths: int = 0
    yields: int = 0
    finish: float = 0.0
    """Virtual second at which the last clip ended."""
    busy: float = 0.0
    """Card seconds of rendering, those in vain included."""
    wall_seconds: float = 0.0
    tick_ms: list[float] = field(default_factory=list)
    """How long each look at the yields took."""
    done_units: dict[str, float] = field(default_factory=dict)
    """Cost of what was delivered, by project."""
    finish_by_batch: dict[str, float] = field(default_factory=dict)


class PlanAlone:
    """One run. `cards` are facts with a pace above 0: seconds for a unit of cost."""

    def __init__(
        self,
        cards: Sequence[CardFacts],
        batches: Iterable[tuple[float, Batch, Sequence[Clip]]],
        *,
        cost: Callable[[Work], float],
        seed: int = 0,
        deaths_per_second: float = 0.0,
        policy: Policy | None = None,
        tick_seconds: float = TICK_SECONDS,
        weights: Mapping[str, float] | None = None,
    ) -> None:
        """`batches` come at their virtual second; `deaths_per_second` is each card's.

        `weights` are projects' shares; those that are not named have 1.
        """
        self.tally = Tally()
        self._policy = policy or Policy()
        self._tick_seconds = tick_seconds
        self._rate = deaths_per_second
        self._dice = random.Random(seed)  # noqa: S311 - a simulation is repeatable
        self._board = Board(cost)
        for name, weight in (weights or {}).items():
            self._board.projects[name] = Project(name=name, weight=weight)
        self._lineup = Lineup(self._board, self._policy)
        self._chooser = Chooser(self._board, self._lineup, self._policy)
        self._facts = {card.card_id: card for card in cards}
        self._cards = {
            card.card_id: Seated(Seat(card, Standing.OPEN, "", card.pace)) for card in cards
        }
        self._seats = {card_id: card.seat for card_id, card in self._cards.items()}
        self._alike: dict[str, SortedList] = {}
        """Card → the idle ones among those that are like it, itself included."""
        self._idle = self._by_likeness(cards)
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._planned = 0
        self._now = 0.0
        self._to_come = 0
        for at, batch, clips in batches:
            self._to_come += 1
            self._at(at, self._arrival(batch, clips))
        if self._rate > 0:
            for card_id in self._cards:
                self._plan_death(card_id)

    def run(self, until: float = float("inf")) -> Tally:
        """Let time pass until every clip has ended, or to virtual second `until`."""
        began = time.perf_counter()
        self._at(self._tick_seconds, self._tick)
        while self._events and (self._to_come or len(self._board)):
            when, _, call = heapq.heappop(self._events)
            if when > until:
                break
            self._now = when
            call()
        self.tally.wall_seconds = time.perf_counter() - began
        return self.tally

    def _at(self, when: float, call: Callable[[], None]) -> None:
        self._planned += 1
        heapq.heappush(self._events, (when, self._planned, call))

    def _arrival(self, batch: Batch, clips: Sequence[Clip]) -> Callable[[], None]:
        def arrive() -> None:
            self._to_come -= 1
            self._board.put_batch(batch, clips=len(clips))
            for clip in clips:
                self._board.put(clip)
            self._serve_idle()

        return arrive

    # -- cards -----------------------------------------------------------------------------

    def _serve_idle(self) -> None:
        """Idle cards take what waits, the fastest first.

        Where a card finds nothing, its like is not asked, unless a waiting clip is kept for it.
        """
        board = self._board
        if not board.queued:
            return
        for clip_id, (card_id, _) in list(board.reserved.items()):
            kept = board.get(clip_id)
            if card_id in self._alike[card_id] and kept is not None and not kept.holder:
                self._take(card_id)
        for idle in self._idle:
            while idle and board.queued:
                card_id = idle[0]
                self._take(card_id)
                if idle and idle[0] == card_id:
                    break

    def _by_likeness(self, cards: Sequence[CardFacts]) -> list[SortedList]:
        """Cards that the plan treats alike, the fastest first; all are idle."""
        kinds: dict[object, SortedList] = {}
        for card in sorted(cards, key=lambda card: card.pace):
            like = (
                card.card_type, card.vram_bytes, card.tags, card.profiles, card.models,
                card.stack_id,
            )  # fmt: skip
            self._alike[card.card_id] = kinds.setdefault((card.pace, like), SortedList())
            self._alike[card.card_id].add(card.card_id)
        return list(kinds.values())

    def _set_idle(self, card_id: str, *, idle: bool) -> None:
        if idle and card_id not in self._alike[card_id]:
            self._alike[card_id].add(card_id)
        elif not idle:
            self._alike[card_id].discard(card_id)

    def _take(self, card_id: str) -> None:
        """Let a card have its next clip, if there is one for it."""
        card, facts = self._cards[card_id], self._facts[card_id]
        clip = self._chooser.choose(
            facts, cards=self._facts, pace=card.seat.pace, now=self._now, unix_now=self._now
        )
        if clip is None:
            self._set_idle(card_id, idle=True)
            return
        self._set_idle(card_id, idle=False)
        leased = step(clip, Leased(Holder(card_id, "")))
        units = self._board.units_of(leased)
        self._board.put(leased)
        self._board.leases[clip.clip_id] = Lease(float("inf"), started=True, charged=units)
        self._charge(leased, units)
        card.clip, card.began, card.turn = leased, self._now, card.turn + 1
        turn = card.turn
        self._at(self._now + units * card.seat.pace, lambda: self._ends(card_id, turn))

    def _ends(self, card_id: str, turn: int) -> None:
        """The clip's last chunk is rendered."""
        card = self._cards[card_id]
        if card.turn != turn or card.clip is None:
            return
        self._record(card, card.clip.chunks_left)
        done = step(card.clip, Finished())
        self.tally.done += 1
        self._let_go(card, done)
        self._take(card_id)

    def _plan_death(self, card_id: str) -> None:
        self._at(self._now + self._dice.expovariate(self._rate), lambda: self._dies(card_id))

    def _dies(self, card_id: str) -> None:
        card = self._cards[card_id]
        self.tally.deaths += 1
        card.is_down = True
        self._set_idle(card_id, idle=False)
        self._seats.pop(card_id, None)
        if card.clip is not None:
            self._record(card, self._chunks_made(card))
            why = after_loss(card.clip, "died", started=True, now=self._now, policy=self._policy)
            lost = step(card.clip, AttemptLost("died", why, started=True))
            self.tally.failed += lost.state is ClipState.FAILED
            self._let_go(card, lost)
            self._serve_idle()
        self._at(self._now + DOWN_SECONDS, lambda: self._returns(card_id))

    def _returns(self, card_id: str) -> None:
        card = self._cards[card_id]
        card.is_down = False
        self._seats[card_id] = card.seat
        self._plan_death(card_id)
        self._take(card_id)

    # -- clips -----------------------------------------------------------------------------

    def _chunks_made(self, card: Seated) -> int:
        """Whole chunks since the card began."""
        assert card.clip is not None
        seconds = self._board.cost(card.clip.work) * card.seat.pace
        return min(int((self._now - card.began) / seconds + 1e-9), card.clip.chunks_left)

    def _record(self, card: Seated, chunks: int) -> None:
        """What was made is recorded: all at once, for the card lets the clip go just now."""
        assert card.clip is not None
        if chunks:
            done = card.clip.chunks_done + chunks
            card.clip = replace(card.clip, chunks_done=done, losses=0, failures=0)

    def _let_go(self, card: Seated, after: Clip) -> None:
        """The card's clip is no longer its own: it has ended, or waits again."""
        lease = self._board.leases.pop(after.clip_id)
        batch = self._board.batch(after.batch_id)
        self.tally.busy += self._now - card.began
        if not after.ended:
            self._charge(after, -min(lease.charged, self._board.units_of(after)))
        elif batch is not None:
            units = after.chunks_done * self._board.cost(after.work)
            known = self.tally.done_units
            known[batch.project] = known.get(batch.project, 0.0) + units
            self.tally.finish = self.tally.finish_by_batch[batch.batch_id] = self._now
        self._board.put(after)
        card.clip, card.turn = None, card.turn + 1

    def _charge(self, clip: Clip, units: float) -> None:
        batch = self._board.batch(clip.batch_id)
        if batch is not None:
            project = self._board.project_of(batch)
            half_life = self._policy.share_half_life_seconds
            self._board.projects[project.name] = charged(project, units, self._now, half_life)

    # -- yields ----------------------------------------------------------------------------

    def _tick(self) -> None:
        began = time.perf_counter()
        if any(entry.batch.deadline is not None for entry in self._board.entries()):
            self._look_at_deadlines()
        asked = yields(
            self._board,
            self._lineup,
            self._chooser,
            self._seats,
            self._policy,
            unix_now=self._now,
        )
        self.tally.tick_ms.append(1e3 * (time.perf_counter() - began))
        for each in asked:
            self._board.leases[each.clip_id].yield_reason = each.reason
            if each.to_card:
                until = self._now + each.kept_seconds
                self._board.reserve(each.clip_id, each.to_card, until)
            self._plan_yield(each.clip_id)
        self._serve_idle()
        self._at(self._now + self._tick_seconds, self._tick)

    def _look_at_deadlines(self) -> None:
        """As the coordinator does, which hears of each chunk."""
        for card in self._cards.values():
            if card.clip is not None and (made := self._chunks_made(card)):
                self._record(card, made)
                card.began += made * self._board.cost(card.clip.work) * card.seat.pace
                self._board.put(card.clip)
        look_at_deadlines(
            self._board,
            self._lineup,
            {card_id: self._facts[card_id] for card_id in self._seats},
            lambda card_id: self._seats[card_id].pace,
            self._policy,
            unix_now=self._now,
        )

    def _plan_yield(self, clip_id: str) -> None:
        """The clip is given up at the end of the chunk that is being rendered."""
        clip = self._board.get(clip_id)
        assert clip is not None
        assert clip.holder is not None
        card_id, card = clip.holder.card_id, self._cards[clip.holder.card_id]
        seconds = self._board.cost(clip.work) * card.seat.pace
        made = self._chunks_made(card) + 1
        if made >= clip.chunks_left:
            return  # it is in its last chunk
        turn = card.turn
        self._at(card.began + made * seconds, lambda: self._yields(card_id, turn))

    def _yields(self, card_id: str, turn: int) -> None:
        card = self._cards[card_id]
        if card.turn != turn or card.clip is None:
            return
        self.tally.yields += 1
        self._record(card, self._chunks_made(card))
        self._let_go(card, step(card.clip, Yielded()))
        self._serve_idle()
        if card.clip is None and card_id not in self._alike[card_id]:
            self._take(card_id)
