"""Why a clip or a batch is where it is, in plain words, and what would help.

The facts come from the same board and rules that decide, so what is said is what holds. Answers are
sentences as a colleague would say them; the first thing that stands in the way is the answer, the
others follow as reasons.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from farm.domain.batch import BatchState
from farm.domain.clip import ENDED, ClipState
from farm.plan.answers import Answer, about, end, giving, sentence, with_more
from farm.plan.prospects import Prospects, for_a_card
from farm.plan.words import count, doing, duration

_DEAD: Final = (ClipState.FAILED, ClipState.CANCELLED)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClipFacts:
    """What is known of a clip that somebody asks about."""

    name: str
    batch: str
    state: ClipState
    reason: str = ""
    """Why it failed, was cancelled, or failed last."""
    batch_state: BatchState = BatchState.OPEN
    batch_reason: str = ""
    chunks: int
    chunks_done: int = 0
    attempt: int = 0
    card_id: str = ""
    """That holds it, or delivered it."""
    started: bool = True
    """Its card is at it; False: it renders another clip first."""
    seconds_left: float | None = None
    """Until it should be done."""
    yielding: str = ""
    """Why its card is asked to give it up."""
    waits_for: tuple[tuple[str, ClipState], ...] = ()
    """Clips of its batch without a take that it depends on."""
    waits_for_batches: tuple[tuple[str, int], ...] = ()
    """Batches that have to end first, with their open clips."""
    backoff_seconds: float = 0.0
    failed_on: tuple[str, ...] = ()
    """Cards that failed it since its last chunk."""
    prospects: Prospects | None = None
    """Given where it is queued."""
    warning: str = ""
    """That its batch's deadline cannot hold (`farm.plan.deadline`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BatchFacts:
    """What is known of a batch that somebody asks about."""

    name: str
    state: BatchState
    reason: str = ""
    clips: Mapping[ClipState, int] = field(default_factory=dict)
    cards: int = 0
    """That hold clips of it."""
    seconds_left: float | None = None
    """Until it should be done."""
    waits_for_batches: tuple[tuple[str, int], ...] = ()
    prospects: Prospects | None = None
    """Given where it has queued clips."""
    warning: str = ""


def explain_clip(facts: ClipFacts) -> Answer:
    """Why a clip is where it is."""
    found = _clip(facts)
    if facts.state in (ClipState.QUEUED, ClipState.LEASED):
        found = with_more(found, _progress(facts), *_failures(facts), facts.warning)
    return found


def explain_batch(facts: BatchFacts) -> Answer:
    """Why a batch is where it is."""
    number = {state: facts.clips.get(state, 0) for state in ClipState}
    total, done = sum(number.values()), number[ClipState.DONE]
    sums = [f"{n:,} {state}" for state, n in number.items() if n]
    counted = f"Of its {count(total, 'clip')}, {', '.join(sums)}." if sums else ""
    failed = number[ClipState.FAILED]
    found = _batch(facts, number, total, done)
    held = number[ClipState.HELD]
    if held and facts.state is BatchState.OPEN:
        look = f"`farm looks {facts.name}` shows what waits for a look"
        found = with_more(found, f"{doing(held, 'clip', 'wait')} for a first look.", remedy=look)
    if failed:
        retry = f"`farm retry {facts.name} --failed` queues what failed again"
        found = with_more(found, remedy=retry)
    return with_more(found, counted, facts.warning)


def _clip(facts: ClipFacts) -> Answer:
    batch, name = facts.batch, facts.name
    if facts.state is ClipState.DONE:
        return Answer(f"It is done: card {facts.card_id} delivered it.")
    if facts.state in (ClipState.FAILED, ClipState.CANCELLED):
        retry = f"`farm retry {batch} {name}` queues it again"
        said = giving(f"It was {_ended(facts)}", facts.reason)
        return Answer(said, _failures(facts), (retry,))
    if facts.state is ClipState.HELD:
        return Answer(
            "Its first chunk is rendered, and it waits until somebody has looked at it.",
            (),
            (
                f"`farm approve {batch} {name}` lets it go on",
                f"`farm reject {batch} {name}` stops it",
            ),
        )
    if facts.state is ClipState.LEASED:
        return _leased(facts)
    if facts.state is ClipState.WAITING:
        return _waiting(facts)
    return _queued(facts)


def _ended(facts: ClipFacts) -> str:
    tries = f" after {count(facts.attempt, 'attempt')}" if facts.attempt else ""
    return "given up" + tries if facts.state is ClipState.FAILED else "cancelled"


def _leased(facts: ClipFacts) -> Answer:
    if facts.yielding:
        return Answer(
            f"Card {facts.card_id} renders it and gives it up at its next chunk boundary; it "
            f"goes on elsewhere from there.",
            (sentence(facts.yielding),),
        )
    if not facts.started:
        return Answer(f"Card {facts.card_id} holds it and renders another clip first.")
    soon = about(facts.seconds_left, "; it should be done in about {}")
    return Answer(f"Card {facts.card_id} renders it{soon}.")


def _waiting(facts: ClipFacts) -> Answer:
    because = [f"Clip {name} is {state}." for name, state in facts.waits_for]
    because += _open_batches(facts.waits_for_batches)
    dead = [name for name, state in facts.waits_for if state in _DEAD]
    remedies = [f"`farm retry {facts.batch} {name}` queues {name} again" for name in dead]
    what = []
    if facts.waits_for:
        what.append(count(len(facts.waits_for), "other clip"))
    if facts.waits_for_batches:
        what.append(_batches(len(facts.waits_for_batches)))
    waits = " and ".join(what) or "what it depends on"
    return Answer(f"It depends on {waits} and waits for that.", tuple(because), tuple(remedies))


def _queued(facts: ClipFacts) -> Answer:
    if facts.batch_state is not BatchState.OPEN:
        return _halted(facts.batch, facts.batch_state, facts.batch_reason, "It waits: its batch")
    if facts.backoff_seconds > 0:
        soon = duration(facts.backoff_seconds)
        return Answer(f"Its last attempt failed; it is tried again in {soon}.")
    if facts.prospects is None:
        return Answer("It waits for a card.")
    return for_a_card(facts.prospects, "It")


def _halted(batch: str, state: BatchState, reason: str, begin: str) -> Answer:
    if state is BatchState.PAUSED:
        resume = f"`farm resume {batch}` lets it go on"
        return Answer(giving(f"{begin} is paused", reason), (), (resume,))
    return Answer(giving(f"{begin} was cancelled", reason))


def _batch(facts: BatchFacts, number: Mapping[ClipState, int], total: int, done: int) -> Answer:
    still = sum(number[s] for s in ClipState if s not in ENDED)
    if facts.state is BatchState.CANCELLED or (total and not still):
        if facts.state is BatchState.CANCELLED:
            return _halted(facts.name, facts.state, facts.reason, "It")
        return Answer(f"It has ended: {done:,} of {count(total, 'clip')} were delivered.")
    if facts.state is BatchState.PAUSED:
        return _halted(facts.name, facts.state, facts.reason, "It")
    if number[ClipState.LEASED]:
        soon = about(facts.seconds_left, ", and it should be done in about {}")
        return Answer(f"{doing(facts.cards, 'card', 'work')} on it{soon}.")
    if number[ClipState.QUEUED] and facts.prospects is not None:
        return for_a_card(facts.prospects, "It")
    if facts.waits_for_batches:
        waits = _batches(len(facts.waits_for_batches))
        return Answer(
            f"It waits for {waits} to end first.", tuple(_open_batches(facts.waits_for_batches))
        )
    if number[ClipState.HELD]:
        approve = f"`farm approve {facts.name}` lets all of them go on"
        return Answer("All that is left of it waits for a first look.", (), (approve,))
    return Answer("Its clips wait for others that they depend on.")


def _progress(facts: ClipFacts) -> str:
    if not facts.chunks_done:
        return ""
    kept = "is kept" if facts.chunks_done == 1 else "are kept"
    return f"{facts.chunks_done:,} of its {count(facts.chunks, 'chunk')} {kept}."


def _failures(facts: ClipFacts) -> tuple[str, ...]:
    if not facts.failed_on:
        return ()
    where = f"It failed on {', '.join(facts.failed_on)} since its last chunk"
    if facts.state in _DEAD:
        return (end(where),)
    return (giving(f"{where}; the last time", facts.reason) if facts.reason else end(where),)


def _open_batches(batches: tuple[tuple[str, int], ...]) -> list[str]:
    return [f"Batch {name} has {count(still, 'open clip')}." for name, still in batches]


def _batches(number: int) -> str:
    return "another batch" if number == 1 else f"{number:,} other batches"
