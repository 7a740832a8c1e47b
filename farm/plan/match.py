"""Whether a card has what a batch asks for, and in plain words what it lacks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from farm.domain.fleet import CardFacts, Needs
from farm.domain.profiles import profile_for, renders_as
from farm.domain.stacks import Bond

GIB: Final = 2**30
VRAM_SHORT: Final = 0.07
"""A card shows less memory than its name says, for error correction and what the driver keeps: a
24 GB L4 shows 22.5 GiB, a 16 GB RTX 4060 Ti 15.996. So much less still counts as all of it."""
DIGEST_BEGINNING_MIN: Final = 8
"""Characters of a digest that name a model."""
DIGEST_LENGTH: Final = 64
"""Of a SHA-256 in hexadecimal."""
_HEX: Final = frozenset("0123456789abcdef")


def matches(needs: Needs, card: CardFacts, *qualities: str) -> bool:
    """The card has all that is asked for: the same as an empty `unmet`, without the words.

    Of the `qualities` of clips, if any are given, it can render at least one.
    """
    return (
        (not needs.card_types or card.card_type in needs.card_types)
        and (not needs.vram_bytes or _has_vram(needs, card))
        and (not needs.tags or all(tag in card.tags for tag in needs.tags))
        and (not needs.profile or needs.profile in card.profiles)
        and (not needs.model or has_model(needs.model, card.models))
        and (not needs.stack_id or renders_as(needs.stack_id, card.stack_id, card.profiles))
        and (not qualities or renders(needs, card, qualities))
    )


def unmet(needs: Needs, card: CardFacts, *qualities: str) -> tuple[str, ...]:
    """What the card lacks, each as the end of a sentence that begins with the card."""
    return (*_unmet(needs, card), *_unmet_profile(needs, card, qualities))


def breaks(begun: Bond, card: CardFacts) -> str:
    """Why a card does not go on with recorded chunks of a clip, as `unmet`; empty: it does.

    The same as a false `goes_on`, in words.
    """
    if begun.model and begun.model != card.model_digest:
        has = f"the model {card.model_digest[:12]}" if card.model_digest else "no model"
        return f"has {has}, the clip began with {begun.model[:12]}"
    if begun.versions and begun.versions != card.bond.versions:
        has = card.bond.versions or "of none that it tells"
        return f"has the versions {has}, the clip began with {begun.versions}"
    return ""


def lacks_profile(needs: Needs, card: CardFacts, *qualities: str) -> bool:
    """The card has all that is asked for, except a profile."""
    return not any(_unmet(needs, card)) and any(_unmet_profile(needs, card, qualities))


def renders(needs: Needs, card: CardFacts, qualities: Iterable[str]) -> bool:
    """Of a card that has all else: it can render one of these qualities.

    A pin overrules them. A card that does not say what it offers has not loaded its model yet, or
    is older than profiles: its node decides.
    """
    offered = card.profiles
    if needs.pinned or not offered:
        return True
    return any(profile_for(quality, offered) for quality in qualities)


def has_model(wanted: str, models: Collection[str]) -> bool:
    """True when one of `models` has this name, or a digest that begins so.

    A card that does not say which models it has is not known to have the one that is asked for.
    """
    if wanted in models:
        return True
    beginning = wanted.lower()
    if len(beginning) < DIGEST_BEGINNING_MIN or not _HEX.issuperset(beginning):
        return False
    return any(len(each) == DIGEST_LENGTH and each.startswith(beginning) for each in models)


def _has_vram(needs: Needs, card: CardFacts) -> bool:
    return card.vram_bytes >= needs.vram_bytes * (1 - VRAM_SHORT)


def _unmet(needs: Needs, card: CardFacts) -> Iterator[str]:
    if needs.card_types and card.card_type not in needs.card_types:
        kind = f"is a {card.card_type}" if card.card_type else "does not say of what type it is"
        yield f"{kind}, the batch wants {' or '.join(needs.card_types)}"
    if needs.vram_bytes and not _has_vram(needs, card):
        yield (
            f"has {card.vram_bytes / GIB:.1f} GiB of VRAM, "
            f"the batch wants {needs.vram_bytes / GIB:.1f}"
        )
    for tag in needs.tags:
        if tag not in card.tags:
            yield f"lacks the tag {tag}"
    if needs.model and not has_model(needs.model, card.models):
        yield f"has no model {needs.model}"
    if needs.stack_id and not renders_as(needs.stack_id, card.stack_id, card.profiles):
        has = (
            f"has the stack {card.stack_id}" if card.stack_id else "does not say what stack it has"
        )
        yield f"{has}, the batch wants {needs.stack_id}"


def _unmet_profile(needs: Needs, card: CardFacts, qualities: Collection[str]) -> Iterator[str]:
    offered = " or ".join(card.profiles)
    has = f"renders with the profile {offered}" if offered else "has no profile"
    if needs.profile:
        if needs.profile not in card.profiles:
            yield f"{has}, the batch wants {needs.profile}"
    elif qualities and not renders(needs, card, qualities):
        yield f"{has}, the clip's quality is {' or '.join(sorted(set(qualities)))}"
