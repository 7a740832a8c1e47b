"""Which clip a card gets next: every rule of the plan, in the order in which they speak.

1. The card itself may take clips: its circuit has power for it (`power`).
2. Batches are asked in their order: priority, near deadlines, fair shares (`lineup`).
3. Each may be hindered for this card: needs, project cap, named limits (`match`, `caps`); a clip
   with recorded chunks goes on only with the model and the versions that made them.
4. Of a batch, the clip that spares a change of LoRAs or profile, fills the lanes with its like,
   and resumes where it began, else the first of its order (`order`: by default the longest).
5. Another project that is owed nearly as much goes first if that spares such a change.

Caps are asked twice: what nobody else can use within their caps goes to whoever has a burst left.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice

from farm.domain.clip import Clip
from farm.domain.fleet import CardFacts, Needs
from farm.domain.profiles import profile_for
from farm.domain.stacks import UNBOUND, goes_on
from farm.plan.blocked import is_blocked
from farm.plan.board import Board, Entry, Kind
from farm.plan.caps import limit_room, project_room
from farm.plan.lineup import Lineup
from farm.plan.match import matches, renders, unmet
from farm.plan.policy import Policy

LOOK_AHEAD = 200
"""Clips of a queue looked at before its batch is passed over: bounds an exchange when very many
are not for this card."""
HOME_LOOK = 8
"""Clips among which one that began on such a card is preferred."""
AFFINITY_LOOK = 16
"""Batches looked at further down the line for one that spares a change of LoRAs or profile."""

Load = tuple[str, str]
"""LoRAs and profile that a card has to have loaded."""


class Chooser:
    """Reads the board for one card at a time."""

    def __init__(self, board: Board, lineup: Lineup, policy: Policy) -> None:
        self._board = board
        self._lineup = lineup
        self._policy = policy

    def choose(
        self,
        card: CardFacts,
        *,
        cards: Mapping[str, CardFacts],
        pace: float,
        now: float,
        unix_now: float,
    ) -> Clip | None:
        """The clip that `card` should have next, or None.

        `cards` are all that can be counted on; `pace` is this one's, in seconds for a unit of
        cost.
        """
        self._board.wake(now)
        for others_wait in (True, False):
            capped, found = False, None
            lineup = self._lineup.in_order(unix_now)
            for entry in lineup:
                if not self.may_have(entry, card, others_wait=others_wait):
                    capped = True
                    continue
                found = self._pick(entry, card, cards)
                if found is not None:
                    break
            if found is not None:
                return self._spared(found, card, cards, pace, unix_now, lineup) or found
            if not capped:
                break
        return None

    def begun(
        self, card: CardFacts, *, cards: Mapping[str, CardFacts], now: float, unix_now: float
    ) -> Clip | None:
        """The first clip that goes on with what `card` runs, and would not with all; or None."""
        self._board.wake(now)
        for entry in self._lineup.in_order(unix_now):
            if self.may_have(entry, card, others_wait=False):
                found = self._pick(entry, card, cards, only_begun=True)
                if found is not None:
                    return found
        return None

    def finds(self, card: CardFacts, cards: Mapping[str, CardFacts], unix_now: float) -> bool:
        """Something waits that `card` may have."""
        return any(
            self.may_have(entry, card, others_wait=False) and self._pick(entry, card, cards)
            for entry in self._lineup.in_order(unix_now)
        )

    def hindrances(self, entry: Entry, card: CardFacts) -> tuple[str, ...]:
        """Why no clip of a batch may go to a card now, in plain words; empty when one may."""
        batch, board = entry.batch, self._board
        found = list(unmet(batch.needs, card, *entry.waiting))
        if not self._goes_on(entry, card):
            found.append("its clips began with another model, or other versions")
        if self._project_room(entry, card, others_wait=False) <= 0:
            found.append(f"project {batch.project} has all the cards that it may have")
        found += [
            f"the limit {name} is reached ({board.limits[name].most})"
            for name in batch.limits
            if limit_room(board.limits_used, (name,), board.limits) <= 0
        ]
        return tuple(found)

    def may_have(self, entry: Entry, card: CardFacts, *, others_wait: bool = True) -> bool:
        """Whether a clip of a batch may go to a card: its needs, its project, its limits."""
        batch, board = entry.batch, self._board
        if not matches(batch.needs, card, *entry.waiting) or not self._goes_on(entry, card):
            return False
        if batch.limits and limit_room(board.limits_used, batch.limits, board.limits) <= 0:
            return False
        return self._project_room(entry, card, others_wait=others_wait) > 0

    def room(self, entry: Entry) -> int:
        """Cards that a batch could have beside those that its project has, others waiting too."""
        board, project = self._board, self._board.project_of(entry.batch)
        held = len(board.cards_of_project(project.name))
        return min(
            project_room(project, held, others_wait=True),
            limit_room(board.limits_used, entry.batch.limits, board.limits),
        )

    def _project_room(self, entry: Entry, card: CardFacts, *, others_wait: bool) -> int:
        project = self._board.project_of(entry.batch)
        held = self._board.cards_of_project(project.name)
        if card.card_id in held:
            return 1
        return project_room(project, len(held), others_wait)

    def _goes_on(self, entry: Entry, card: CardFacts) -> bool:
        """Whether any waiting clip of a batch may go on with what a card runs."""
        if not self._board.begun or not entry.queues:
            return True
        return any(goes_on(kind.bond, card.bond) for kind in entry.queues)

    def _pick(
        self,
        entry: Entry,
        card: CardFacts,
        cards: Mapping[str, CardFacts],
        *,
        only_begun: bool = False,
    ) -> Clip | None:
        """The clip of a batch that suits a card best."""
        for kind in self._kinds(entry, card):
            if only_begun and kind.bond == UNBOUND:
                continue
            first: Clip | None = None
            for looked_at, clip in enumerate(islice(self._board.queue(entry, kind), LOOK_AHEAD)):
                if first is not None and looked_at >= HOME_LOOK:
                    break
                if not self._is_for(clip, card, entry, cards):
                    continue
                if self._board.home.get(clip.clip_id, card.card_type) == card.card_type:
                    return clip
                first = first or clip
            if first is not None:
                return first
        return None

    def _kinds(self, entry: Entry, card: CardFacts) -> list[Kind]:
        """A batch's kinds of clips that a card can render, those first that suit what it has
        loaded and its lanes."""
        queues, needs, runs = entry.queues, entry.batch.needs, card.bond
        able = [k for k in queues if goes_on(k.bond, runs)]
        if len(able) < 2:
            return able
        loaded = self._loaded(card)
        company = {clip.work for clip in self._board.held_by(card.card_id)}

        def wish(kind: Kind) -> tuple[bool, bool, tuple[int, int, str]]:
            strange = card.lanes > 1 and bool(company) and kind.work not in company
            return (_load(kind, needs, card) != loaded, strange, queues[kind][0])

        return sorted((k for k in able if renders(needs, card, (k.quality,))), key=wish)

    def _loaded(self, card: CardFacts) -> Load:
        """What a card has loaded, going by what it was given last."""
        given = self._board.given.get(card.card_id)
        if given is None:
            return "", next(iter(card.profiles), "")
        return given.loras, profile_for(given.quality, card.profiles, given.pinned)

    def _is_for(
        self,
        clip: Clip,
        card: CardFacts,
        entry: Entry,
        cards: Mapping[str, CardFacts],
    ) -> bool:
        kept_for, _ = self._board.reserved.get(clip.clip_id, (card.card_id, 0.0))
        if kept_for != card.card_id:
            return False
        if card.card_id not in clip.blocked:
            return True
        needs = entry.batch.needs
        others = (
            c.card_id
            for c in cards.values()
            if matches(needs, c, clip.quality) and goes_on(clip.bond, c.bond)
        )
        return not is_blocked(clip, card.card_id, others)

    def _spared(
        self,
        found: Clip,
        card: CardFacts,
        cards: Mapping[str, CardFacts],
        pace: float,
        unix_now: float,
        lineup: Iterator[Entry],
    ) -> Clip | None:
        """A clip a little further down the line that spares a change of LoRAs or profile."""
        entry = self._board.entry(found.batch_id)
        if entry is None or card.card_id not in self._board.given:
            return None
        loaded = self._loaded(card)
        if _load(found, entry.batch.needs, card) == loaded:
            return None
        if self._lineup.is_urgent(found.batch_id):
            return None
        slack = self._policy.change_seconds * self._policy.change_clips / max(pace, 1e-9)
        most = self._lineup.had(entry.batch.project, unix_now) + slack
        for other in islice(lineup, AFFINITY_LOOK):
            if other.batch.priority != entry.batch.priority:
                return None
            if self._lineup.had(other.batch.project, unix_now) > most:
                return None
            needs = other.batch.needs
            if not any(_load(kind, needs, card) == loaded for kind in other.queues):
                continue
            if self.may_have(other, card, others_wait=True):
                clip = self._pick(other, card, cards)
                if clip is not None and _load(clip, needs, card) == loaded:
                    return clip
        return None


def _load(clip: Clip | Kind, needs: Needs, card: CardFacts) -> Load:
    """What a card has to have loaded for a clip."""
    return clip.loras, profile_for(clip.quality, card.profiles, needs.pinned)
