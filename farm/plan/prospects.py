"""What stands between clips that wait and a card, and the words for it.

The first thing in the way is said: no card at all, none that matches, none that is here, none that
takes clips, a limit, a cap; else how long the line is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from farm.plan.answers import Answer, about, giving
from farm.plan.words import count, doing


@dataclass(frozen=True, slots=True, kw_only=True)
class Prospects:
    """What stands between clips that wait and a card."""

    cards: int
    """Of the farm, all that can be counted on."""
    matching: int
    """Of those, what the batch's needs allow."""
    here: int
    """Of the matching ones, heard of lately."""
    taking: int
    """Of those, what may take clips."""
    idle: int = 0
    """Of those, what holds nothing."""
    lacking: tuple[str, ...] = ()
    """What the cards that do not match lack (`farm.plan.match`), the most frequent first."""
    batch: str = ""
    """Its batch's id."""
    pinned: str = ""
    """The profile that its batch asks for."""
    profile_lacks: bool = False
    """Some card would match but for a profile."""
    clip: str = ""
    """The clip that is asked about, or the first of a batch."""
    begun_with: str = ""
    """Given where cards have what the batch asks for, and none of them goes on with what the clip's
    chunks were rendered with: what that is."""
    begun_cards: tuple[str, ...] = ()
    """Cards that would, of all that were ever heard of."""
    closed: tuple[tuple[str, str], ...] = ()
    """Matching cards or nodes that are here and take nothing, each with why, such as
    `("gpu7", "locked: new fans")`."""
    project: str = ""
    cap: int | None = None
    """Cards that its project may have now, where it has so many; None: it may have more."""
    full_limits: tuple[str, ...] = ()
    """Named limits that are reached."""
    ahead: int = 0
    """Clips that go before."""
    start_seconds: float | None = None
    """Until it should start: `quick_bound` of what goes before, on the cards that take clips."""


_OTHER_NEEDS: Final = "add such a card, or cancel the batch and submit it with other needs"


def for_a_card(seen: Prospects, who: str) -> Answer:
    """Why clips that are queued have no card yet; `who` begins the sentence."""
    return _no_card(seen, who) or _no_room(seen, who) or _in_line(seen, who)


def _no_card(seen: Prospects, who: str) -> Answer | None:
    if not seen.cards:
        return Answer(
            f"{who} waits for a card: the farm has none.",
            (),
            ("start an agent on a machine with a card (`farm-node join`)",),
        )
    if seen.begun_with:
        return _begun(seen, who)
    if not seen.matching:
        lacks = tuple(f"A card {text}." for text in seen.lacking)
        return Answer(
            f"{who} waits for a card that the farm does not have: none of its "
            f"{count(seen.cards, 'card')} is what the batch asks for.",
            lacks,
            (*_other_profile(seen), _OTHER_NEEDS),
        )
    if not seen.here:
        return Answer(
            f"{who} waits for a card: {_of_them(seen.matching)} that could render it, and none "
            f"of them is here.",
            (),
            ("`farm cards` says when each was last heard of",),
        )
    if not seen.taking:
        opened = tuple(f"`farm node unlock {name}` opens it" for name, _ in seen.closed)
        return Answer(
            f"{who} waits for a card: {_of_them(seen.here)} here that could render it, and none "
            f"of them takes clips.",
            tuple(giving(f"{name} takes no clips", why) for name, why in seen.closed),
            opened,
        )
    return None


def _begun(seen: Prospects, who: str) -> Answer:
    """No card runs what a clip began with: none changes that in mid-render."""
    began = f"It began with {seen.begun_with}, and goes on with nothing else."
    if seen.begun_cards:
        named = ", ".join(seen.begun_cards)
        return Answer(
            f"{who} waits for a card that runs what its first chunks were rendered with.",
            (began, f"So did {named}, when last heard of."),
            ("`farm cards` says when that was",),
        )
    anew = f"`farm retake {seen.batch} {seen.clip}` makes it anew, from its start"
    drop = f"`farm cancel {seen.batch} {seen.clip}` gives this one up"
    return Answer(
        f"{who} waits for what no card of the farm runs any more.", (began,), (anew, drop)
    )


def _other_profile(seen: Prospects) -> tuple[str, ...]:
    """What helps where a profile is all that is lacking."""
    if not seen.profile_lacks:
        return ()
    more = "a node with more memory may offer it (`farm-node doctor` there says what fits)"
    if seen.pinned:
        return (f"`farm amend {seen.batch} --profile NAME` asks for another one; {more}",)
    return (f"submit it with the quality standard, which takes any profile; {more}",)


def _no_room(seen: Prospects, who: str) -> Answer | None:
    if seen.full_limits:
        named = " and ".join(seen.full_limits)
        many = "limits" if len(seen.full_limits) > 1 else "limit"
        return Answer(
            f"{who} waits until others are done that count against the {many} {named}.",
            (),
            tuple(f"`farm limit set {name} NUMBER` raises it" for name in seen.full_limits),
        )
    if seen.cap is not None:
        return Answer(
            f"{who} waits because project {seen.project} has all the cards that it may have now "
            f"({seen.cap:,}).",
            (),
            (f"`farm project set {seen.project} --cap NUMBER` raises its cap",),
        )
    return None


def _in_line(seen: Prospects, who: str) -> Answer:
    soon = about(seen.start_seconds, "; it should start in about {}")
    if seen.ahead:
        return Answer(
            f"{who} waits for a card: {doing(seen.ahead, 'clip', 'go')} before it and "
            f"{doing(seen.taking, 'card', 'work')} on them{soon}."
        )
    if seen.idle:
        return Answer(f"{who} goes to the next card that asks: {_of_them(seen.idle)} idle.")
    return Answer(f"{who} is next: it waits until one of {count(seen.taking, 'card')} is free.")


def _of_them(number: int) -> str:
    """`there is 1 card`, `there are 12 cards`."""
    return f"there {'is' if number == 1 else 'are'} {count(number, 'card')}"
