"""What people decide of rollouts: begin one, accept it, go back."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from google.protobuf.message import Message

from farm.coordinator.asked import did_you_mean
from farm.coordinator.books import Books
from farm.coordinator.fleet_decisions import Apply
from farm.coordinator.rollouts import Rollouts, note
from farm.domain.errors import BadDecision, NotFound
from farm.domain.rollout import Kind, Rollout, RolloutState
from farm.domain.values import shown
from farm.plan.rollout import Seen, begin, canaries, hindrance, may_begin
from farm.plan.words import count
from heliostat.v1 import fleet_service_pb2 as fleet_pb

NAME_DIGITS: Final = 12
"""Of a digest, where a model's directory is given no name."""
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+!_-]{0,99}")
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_NAME: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,99}")
_KINDS: Final = {
    fleet_pb.ROLLOUT_KIND_RELEASE: Kind.RELEASE,
    fleet_pb.ROLLOUT_KIND_MODEL: Kind.MODEL,
}


class RolloutDecisions:
    """Decisions over the coordinator's books, as in `farm.coordinator.decisions`."""

    def __init__(self, books: Books, rollouts: Rollouts) -> None:
        self._books = books
        self._rollouts = rollouts
        self.by_name: Mapping[str, tuple[type[Message], Callable[[Any], Apply]]] = {
            "StartRolloutRequest": (fleet_pb.StartRolloutRequest, self._start),
            "DecideRolloutRequest": (fleet_pb.DecideRolloutRequest, self._decide),
        }

    def _start(self, request: fleet_pb.StartRolloutRequest) -> Apply:
        books, rollouts, at = self._books, self._rollouts, self._books.clock.now()
        rollout = asked_for(request, max(books.rollouts.all, default=0) + 1, at)
        self._refuse_second(rollout)
        fleet = rollouts.fleet(rollout.kind, rollout.target)
        chosen = self._canaries(rollout, fleet, request.cards)

        def apply() -> int:
            rollouts.put_rollout(rollout)
            note(books, rollout)
            for seen in chosen:
                rollouts.put(begin(rollout, seen, at, canary=True))
            return rollout.number

        return apply

    def _refuse_second(self, rollout: Rollout) -> None:
        """Raises `BadDecision` while one of the kind is under way."""
        book, cards, now = self._books.rollouts, self._books.cards, self._books.clock.monotonic()
        latest = book.latest(rollout.kind)
        if latest is None:
            return
        if latest.is_open:
            raise BadDecision(
                f"{latest.title} is under way ({latest.state}): `farm rollout show` tells how far "
                "it is, `farm rollout back` calls it off"
            )
        seconds = self._books.policy.rollout_seconds
        late = [
            change.card_id
            for change in book.unsettled(latest)
            if (card := cards.get(change.card_id)) is not None and now - card.seen <= seconds
        ]
        if late:
            raise BadDecision(
                f"{latest.title} is still on its way on {', '.join(late[:5])}: wait until "
                "`farm rollout show` says that it is over"
            )

    def _canaries(
        self, rollout: Rollout, fleet: Mapping[str, Seen], named: Sequence[str]
    ) -> list[Seen]:
        """The cards that begin. Raises `BadDecision`, `NotFound`."""
        kind, target = rollout.kind, rollout.target
        for card_id in named:
            if card_id not in fleet:
                hint = did_you_mean(card_id, fleet)
                raise NotFound(f"there is no card {shown(card_id)}: {hint}see `farm cards`")
            if not may_begin(kind, target, fleet[card_id]):
                why = _why_not(rollout, fleet[card_id])
                raise BadDecision(f"card {card_id} cannot begin: it {why}")
        chosen = [fleet[i] for i in dict.fromkeys(named)] or canaries(
            kind, target, fleet.values(), rollout.canary
        )
        if not chosen:
            raise BadDecision(self._nobody(rollout, fleet))
        if len(chosen) < rollout.canary:
            raise BadDecision(
                f"{count(rollout.canary, 'card')} are to begin, and {len(chosen)} can: choose "
                f"--canary {len(chosen)}, or see `farm cards`"
            )
        return chosen

    def _nobody(self, rollout: Rollout, fleet: Mapping[str, Seen]) -> str:
        here = [seen for seen in fleet.values() if seen.here]
        if not here:
            return "no card is here: `farm cards` says when each was last heard of"
        if all(seen.runs == rollout.target for seen in here):
            return f"every card that is here runs {rollout.what(rollout.target)} already"
        if rollout.kind is Kind.RELEASE and all(seen.lacks for seen in here):
            return (
                f"no card has release {rollout.target}: `farm-node release add` installs it on a "
                "node, beside the one that runs"
            )
        some = "; ".join(f"{s.card_id} {_why_not(rollout, s)}" for s in here[:5])
        return f"no card can begin: {some}"

    def _decide(self, request: fleet_pb.DecideRolloutRequest) -> Apply:
        books, at = self._books, self._books.clock.now()
        rollout = found(books.rollouts.all, request.number)
        if request.decision == fleet_pb.DecideRolloutRequest.DECISION_ACCEPT:
            after = accepted(rollout, at, request.by)
        elif request.decision == fleet_pb.DecideRolloutRequest.DECISION_BACK:
            if rollout != books.rollouts.latest(rollout.kind):
                raise BadDecision(f"{rollout.title} was not the last one: go back from that first")
            reason = request.reason or (f"called off by {request.by}" if request.by else "")
            after = called_back(rollout, at, request.by, reason)
        else:
            raise BadDecision("the request says neither accept nor back: choose one of them")

        def apply() -> int:
            self._rollouts.put_rollout(after)
            by = f" by {request.by}" if request.by else ""
            verb = "back" if after.state is RolloutState.BACK else "accepted"
            why = f": {after.reason}" if after.reason else ""
            books.note(f"rollout {rollout.number}", "rollout", f"{verb}{by}{why}")
            return rollout.number

        return apply


def asked_for(request: fleet_pb.StartRolloutRequest, number: int, at: float) -> Rollout:
    """What is asked for. Raises `BadDecision`."""
    kind, target = _KINDS.get(request.kind), request.target.strip()
    if kind is None:
        raise BadDecision("the request names no kind of rollout: choose a release or a model")
    if kind is Kind.RELEASE and not _VERSION.fullmatch(target):
        raise BadDecision(f"{shown(target)} is no version: give one such as 0.2.0")
    if kind is Kind.MODEL:
        target = target.lower()
        if not _DIGEST.fullmatch(target):
            raise BadDecision(
                f"{shown(target)} is no model's digest: give all 64 digits, as `farm-node model "
                "list` shows them"
            )
        if not request.source.strip():
            raise BadDecision(
                "the rollout names no source: say where the first node gets the model from, as "
                "`farm-node model fetch` takes it"
            )
    name = request.name.strip() or (target[:NAME_DIGITS] if kind is Kind.MODEL else "")
    if kind is Kind.MODEL and not _NAME.fullmatch(name):
        raise BadDecision(
            f"{shown(name)} is no name of a model's directory: use letters, digits, `.`, `_`, `-`"
        )
    named = len(set(request.cards))
    if request.canary and named and request.canary != named:
        raise BadDecision(
            f"{count(request.canary, 'card')} are to begin, and {named} are named: leave one of "
            "them out"
        )
    return Rollout(
        number=number,
        kind=kind,
        target=target,
        source=request.source.strip(),
        name=name,
        canary=request.canary or named or 1,
        at_once=request.at_once or 1,
        unattended=request.unattended,
        started_by=request.by,
        started_at=at,
        changed_at=at,
    )


def found(rollouts: Mapping[int, Rollout], number: int) -> Rollout:
    """A rollout by its number; 0 is the one under way, else the latest.

    Raises `NotFound`, `BadDecision` where two are under way.
    """
    if not rollouts:
        raise NotFound("no rollout was ever begun: `farm upgrade`, `farm model rollout`")
    if number and number not in rollouts:
        raise NotFound(f"there is no rollout {number}: `farm rollout list`")
    under_way = [each for each in rollouts.values() if each.is_open]
    if not number and len(under_way) > 1:
        titles = " and ".join(each.title for each in under_way)
        raise BadDecision(f"{titles} are under way: say which one")
    return rollouts[number or max((each.number for each in under_way), default=max(rollouts))]


def accepted(rollout: Rollout, at: float, by: str) -> Rollout:
    """Its other cards follow. Raises `BadDecision`."""
    if rollout.state is RolloutState.WAITING:
        return rollout.moved(RolloutState.ROLLING, at, by=by)
    if rollout.state in (RolloutState.ROLLING, RolloutState.DONE) and rollout.reason:
        return replace(rollout, reason="", decided_by=by)
    why = {
        RolloutState.CANARY: "its first cards are not examined yet: `farm rollout show`",
        RolloutState.ROLLING: "it is accepted, and goes on",
        RolloutState.DONE: "it is done",
        RolloutState.BACK: "it was called off: begin another one",
    }
    raise BadDecision(f"there is nothing to accept in {rollout.title}: {why[rollout.state]}")


def called_back(rollout: Rollout, at: float, by: str, reason: str) -> Rollout:
    """All its cards go back. Raises `BadDecision`."""
    if rollout.state is RolloutState.BACK:
        why = f" ({rollout.reason})" if rollout.reason else ""
        raise BadDecision(f"there is nothing to go back from: {rollout.title} was called off{why}")
    return rollout.moved(RolloutState.BACK, at, reason=reason, by=by)


def _why_not(rollout: Rollout, seen: Seen) -> str:
    if seen.runs == rollout.target:
        return f"runs {rollout.what(rollout.target)} already"
    if not seen.runs:
        kind = rollout.kind is Kind.RELEASE
        return f"does not say which {'release it runs' if kind else 'model it has loaded'}"
    fetches = rollout.kind is Kind.MODEL
    return hindrance(replace(seen, needed="", lacks="" if fetches else seen.lacks))
