"""What of a stack id are versions, and what is only the card that rendered."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from farm.domain.profiles import profile_in

_PLACES = ("cpu-", "cuda-")


class Bond(NamedTuple):
    """What a clip with recorded chunks goes on with; an empty field is not known, and binds not."""

    model: str
    """A model's digest."""
    versions: str
    """See `versions_in`."""


UNBOUND = Bond("", "")


def bond(model_digest: str, stack_id: str) -> Bond:
    """What was rendered with these, or what a card with these renders with."""
    return Bond(model_digest, versions_in(stack_id))


def goes_on(bound: Bond, card: Bond) -> bool:
    """A card of the one goes on with chunks of the other."""
    return (not bound.model or bound.model == card.model) and (
        not bound.versions or bound.versions == card.versions
    )


@lru_cache(maxsize=4096)
def versions_in(stack_id: str) -> str:
    """A stack id without the card: its kind and threads, its kernels, its profile.

    A farm moves clips in mid-render between kinds of cards and between profiles, as it always has
    (docs/rendering.md says how close the pictures are); it does not between versions. An id that
    names no place is one of versions, but for its profile.
    """
    words = stack_id.split(",")
    place = next((i for i, word in enumerate(words) if word.startswith(_PLACES)), None)
    profile = profile_in(stack_id)
    at = words.index(profile) if profile else None
    if place is None or at is None or at < place:
        return ",".join(word for i, word in enumerate(words) if i != at)
    # cuda-13.0-nvidia-h200: the toolkit is a version, the card is none.
    toolkit = "-".join(words[place].split("-")[:2]) if words[place].startswith("cuda-") else "cpu"
    return ",".join([*words[:place], toolkit, *words[at + 1 :]])
