"""Why a card or a node does what it does, in plain words, and what would help."""

from __future__ import annotations

from dataclasses import dataclass

from farm.domain.fleet import Standing
from farm.plan.answers import Answer, about, end, giving, sentence, with_more
from farm.plan.words import count, doing, duration

READY = "ready"
"""What a card says of itself when it takes clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What was decided of a card or a node, or of the node that a card is in."""

    target: str
    """Of which it was decided: a hostname or a card's id."""
    standing: Standing = Standing.OPEN
    reason: str = ""
    by_hours: bool = False
    """It is paused because it is outside its hours."""
    opens_in_seconds: float | None = None
    """Until its hours begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CardView:
    """What is known of a card that somebody asks about."""

    online: bool
    seen_seconds_ago: float
    condition: str = READY
    """As it says itself."""
    decided: Decided
    """The stricter of its own and its node's."""
    holds: tuple[str, ...] = ()
    """Clips that it holds, the one that it renders first."""
    seconds_left: float | None = None
    """Until it has rendered what it holds."""
    examined: str = ""
    """What its last examination found, where it did not pass."""
    no_power: str = ""
    """Why it may not begin (`farm.plan.power`)."""
    changing: str = ""
    """That a rollout changes it."""
    outdated: str = ""
    """That it runs something else than is rolled out, and why."""
    queued: int = 0
    """Clips that wait in the whole farm."""
    hindered: tuple[tuple[str, str], ...] = ()
    """Batches with clips that wait and may not come here, with why; the first in line first."""
    open_to: int = 0
    """Clips that wait and may come here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeView:
    """What is known of a node that somebody asks about."""

    decided: Decided
    cards: int
    here: int
    """Cards that were heard of lately."""
    working: int
    """Cards that hold clips."""
    seen_seconds_ago: float
    """Since the last of its cards was heard of."""
    no_power: str = ""
    """Why a card of it may not begin."""
    failing: tuple[tuple[str, str], ...] = ()
    """Its cards that are not ready or not open on their own account, with why."""


def explain_card(seen: CardView) -> Answer:
    """Why a card works, or does not."""
    found = _card(seen)
    return with_more(found, seen.outdated) if seen.outdated else found


def _card(seen: CardView) -> Answer:
    if not seen.online:
        return _away("It was", seen.seen_seconds_ago)
    if seen.changing and seen.decided.standing.takes_clips:
        show = "`farm rollout show` tells how far that is"
        return with_more(Answer(f"It {end(seen.changing)}", (), (show,)), _holds(seen))
    if not seen.decided.standing.takes_clips:
        found = _closed(seen.decided, bool(seen.holds))
        return with_more(found, seen.examined, _holds(seen))
    if seen.holds:
        soon = about(seen.seconds_left, "; that is done in about {}")
        return with_more(Answer(f"It renders {seen.holds[0]}{soon}."), _more(seen))
    if seen.condition not in ("", READY):
        return Answer(f"It takes no clips yet. It says of itself: {end(seen.condition)}")
    if seen.no_power:
        return Answer("It has to wait for power.", (sentence(seen.no_power),))
    return _idle(seen)


def explain_node(seen: NodeView) -> Answer:
    """Why a node works, or does not."""
    if not seen.cards:
        return Answer(
            "No card of it has ever spoken.",
            (),
            ("`farm-node doctor` there says what is missing",),
        )
    if not seen.here:
        return _away("The last of its cards was", seen.seen_seconds_ago)
    cards = tuple(giving(f"{name} does not work", why) for name, why in seen.failing)
    if not seen.decided.standing.takes_clips:
        found = _closed(seen.decided, seen.working > 0)
        return Answer(found.answer, (*found.because, *cards), found.remedies)
    away = seen.cards - seen.here
    return with_more(
        Answer(_at_work(seen), cards),
        f"{doing(away, 'card', 'answer')} no more." if away else "",
        seen.no_power,
    )


def _away(who: str, seconds: float) -> Answer:
    return Answer(
        f"{who} last heard of {duration(seconds)} ago.",
        ("Clips that it held go on elsewhere from their checkpoints.",),
        ("`farm-node doctor` on the machine, if it runs, says what is missing",),
    )


def _closed(decided: Decided, holding: bool) -> Answer:
    """Why something takes no clips, and who can open it."""
    target, why = decided.target, decided.reason
    unlock = f"`farm node unlock {target}` opens it"
    if decided.by_hours:
        opens = about(decided.opens_in_seconds, "; they begin in {}")
        change = f"`farm node schedule {target} HOURS` changes them"
        return Answer(f"It is outside the hours of {target}{opens}.", (), (change,))
    if decided.standing is Standing.LOCKED:
        ends = ("It ends what it holds.",) if holding else ()
        return Answer(giving(f"{target} is locked and takes no new clips", why), ends, (unlock,))
    if decided.standing is Standing.PAUSED:
        resume = f"`farm node resume {target}` lets it go on"
        return Answer(giving(f"{target} is paused", why), (), (resume,))
    if decided.standing is Standing.DRAINING:
        rest = "gives up what it holds" if holding else "is empty and can be taken away"
        return Answer(giving(f"{target} is about to leave and {rest}", why), (), (unlock,))
    return Answer(
        giving(f"{target} is in quarantine", why),
        ("It is examined, and comes back by itself when it passes.",),
        (unlock.replace("opens it", "opens it without that"),),
    )


def _holds(seen: CardView) -> str:
    if not seen.holds:
        return ""
    if seen.decided.standing.keeps_clips:
        return f"It still renders {seen.holds[0]}"
    return f"It still renders {seen.holds[0]}, up to the end of its chunk"


def _more(seen: CardView) -> str:
    behind = len(seen.holds) - 1
    return f"It holds {count(behind, 'further clip')}." if behind else ""


def _idle(seen: CardView) -> Answer:
    if not seen.queued:
        return Answer("It is idle: no clip waits for a card.")
    if seen.open_to:
        return Answer(f"It gets one of {count(seen.open_to, 'waiting clip')} when it speaks next.")
    return Answer(
        f"It is idle: none of {count(seen.queued, 'waiting clip')} may come here.",
        tuple(giving(f"Batch {name} may not", why) for name, why in seen.hindered),
    )


def _at_work(seen: NodeView) -> str:
    if seen.cards == 1:
        return "Its card is at work." if seen.working else "Its card is idle."
    number = f"{seen.working:,}" if seen.working else "None"
    work = "are" if seen.working > 1 else "is"
    return f"{number} of its {count(seen.cards, 'card')} {work} at work."
