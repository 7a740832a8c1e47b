"""A card gets the clips that it can do, and the words say why it does not get others."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.domain.fleet import CardFacts, Needs
from farm.domain.values import QUALITIES
from farm.plan.match import GIB, has_model, lacks_profile, matches, unmet

DIGEST = "0123abcd" * 8
TYPES, TAGS = ("cpu", "rtx-4060-ti", "h100"), ("fast-disk", "lan", "den")
PROFILES = ("exact", "fast", "of-another-farm")
MODELS = ("helios", DIGEST)
STACKS = (
    "torch-2.13.0,cpu,fast,x264",
    "torch-2.13.0,cpu,exact,x264",
    "torch-2.14.0,cpu,exact,x264",
)
VRAM = st.sampled_from([0, 8 * GIB, 16 * GIB, 24 * GIB])

NEEDS = st.builds(
    Needs,
    card_types=st.lists(st.sampled_from(TYPES), max_size=2).map(tuple),
    vram_bytes=VRAM,
    tags=st.lists(st.sampled_from(TAGS), max_size=2).map(tuple),
    profile=st.sampled_from(["", *PROFILES]),
    model=st.sampled_from(["", *MODELS, DIGEST[:8], DIGEST[:7], "helio", "ffffffffff"]),
    stack_id=st.sampled_from(["", *STACKS]),
)
CARDS = st.builds(
    CardFacts,
    card_id=st.just("gpu1/0"),
    card_type=st.sampled_from(["", *TYPES]),
    vram_bytes=VRAM,
    tags=st.lists(st.sampled_from(TAGS), max_size=3).map(tuple),
    profiles=st.lists(st.sampled_from(PROFILES), max_size=3, unique=True).map(tuple),
    models=st.lists(st.sampled_from(MODELS), max_size=2).map(tuple),
    stack_id=st.sampled_from(["", *STACKS]),
)


@given(NEEDS, CARDS, st.lists(st.sampled_from(QUALITIES), max_size=2))
def test_the_fast_answer_and_the_words_never_differ(
    needs: Needs, card: CardFacts, qualities: list[str]
) -> None:
    assert matches(needs, card, *qualities) == (not unmet(needs, card, *qualities))


@given(CARDS)
def test_a_batch_that_asks_nothing_goes_anywhere(card: CardFacts) -> None:
    assert matches(Needs(), card)


def test_each_thing_that_is_lacking_is_said() -> None:
    needs = Needs(
        card_types=("rtx-4060-ti", "h100"),
        vram_bytes=16 * GIB,
        tags=("lan", "fast-disk"),
        profile="fast",
        model="helios",
    )
    card = CardFacts(card_id="a", card_type="cpu", vram_bytes=8 * GIB, tags=("lan",))
    assert unmet(needs, card) == (
        "is a cpu, the batch wants rtx-4060-ti or h100",
        "has 8.0 GiB of VRAM, the batch wants 16.0",
        "lacks the tag fast-disk",
        "has no model helios",
        "has no profile, the batch wants fast",
    )


def test_a_quality_needs_a_profile_that_may_serve_it() -> None:
    card = CardFacts(card_id="a", profiles=("fast", "fast-fp8"))
    assert matches(Needs(), card, "standard", "exact"), "one of the clips may come"
    said = ("renders with the profile fast or fast-fp8, the clip's quality is exact",)
    assert unmet(Needs(), card, "exact") == said
    assert not unmet(Needs(profile="fast-fp8"), card, "exact"), "a pin overrules the quality"
    assert lacks_profile(Needs(), card, "exact")
    assert not lacks_profile(Needs(tags=("lan",)), card, "exact"), "it lacks more than that"


@pytest.mark.parametrize(
    ("wanted_gib", "shown_mib"), [(16, 16380), (24, 23034), (80, 81559), (8, 8188)]
)
def test_a_card_has_the_memory_that_its_name_says(wanted_gib: int, shown_mib: int) -> None:
    card = CardFacts(card_id="a", vram_bytes=shown_mib * 2**20)
    assert matches(Needs(vram_bytes=wanted_gib * GIB), card)
    assert not matches(Needs(vram_bytes=int(wanted_gib * 1.25 * GIB)), card)


def test_a_model_goes_by_its_name_or_by_eight_characters_of_its_digest() -> None:
    models = ("helios-distilled", DIGEST)
    assert has_model("helios-distilled", models)
    assert has_model(DIGEST[:8].upper(), models)
    assert not has_model(DIGEST[:7], models)
    assert not has_model("helios-d", models)
    assert not has_model("facade00", ("facade00-model",)), "a name is no digest"


def test_a_card_of_unknown_models_matches_only_where_none_is_asked_for() -> None:
    unknown = CardFacts(card_id="a")
    assert matches(Needs(), unknown)
    assert not matches(Needs(model="helios"), unknown)


def test_a_stack_is_had_with_any_profile_that_the_card_offers() -> None:
    """A card names the stack with the profile that it has loaded, and clips may have another."""
    fast, exact, newer = STACKS
    card = CardFacts(card_id="a", profiles=("exact", "fast"), stack_id=exact)
    assert matches(Needs(stack_id=exact), card)
    assert matches(Needs(stack_id=fast), card, "exact"), "a pin overrules the quality"
    assert Needs(stack_id=fast).pinned == "fast"
    assert not matches(Needs(stack_id=newer), card)
    assert unmet(Needs(stack_id=newer), card) == (
        f"has the stack {exact}, the batch wants {newer}",
    )
    only = CardFacts(card_id="a", profiles=("exact",), stack_id=exact)
    assert not matches(Needs(stack_id=fast), only)


def test_a_card_that_has_not_loaded_its_model_has_no_stack() -> None:
    assert unmet(Needs(stack_id=STACKS[0]), CardFacts(card_id="a")) == (
        f"does not say what stack it has, the batch wants {STACKS[0]}",
    )


def test_a_renderer_without_profiles_in_its_stack_matches_exactly() -> None:
    card = CardFacts(card_id="a", stack_id="simulated")
    assert matches(Needs(stack_id="simulated"), card)
    assert not matches(Needs(stack_id="simulated-2"), card)
