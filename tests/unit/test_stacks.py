"""What of a stack id binds a clip in mid-render: versions, and not the card."""

from __future__ import annotations

import pytest

from farm.domain.stacks import UNBOUND, Bond, bond, goes_on, versions_in

ENCODER = "libx264,libavcodec-62.1.2,libavformat-62.0.1,veryfast,crf23"
CARD = f"torch-2.13,diffusers-0.42,cuda-13.0-nvidia-h200,threads-8,compiled,flash,fast,{ENCODER}"
VERSIONS = f"torch-2.13,diffusers-0.42,cuda-13.0,{ENCODER}"


@pytest.mark.parametrize(
    ("stack", "versions"),
    [
        (CARD, VERSIONS),
        (CARD.replace("nvidia-h200", "nvidia-rtx-4060-ti"), VERSIONS),
        (CARD.replace(",compiled,flash,fast,", ",exact,"), VERSIONS),
        (CARD.replace("threads-8", "threads-4"), VERSIONS),
        ("torch-2.13,cpu-x86_64-avx512,threads-1,exact,libx264", "torch-2.13,cpu,libx264"),
        ("testcard-1,exact,libx264", "testcard-1,libx264"),
        ("stack", "stack"),
        ("", ""),
    ],
)
def test_kind_of_card_kernels_threads_and_profile_are_no_versions(
    stack: str, versions: str
) -> None:
    assert versions_in(stack) == versions


@pytest.mark.parametrize("other", ["torch-2.14", "diffusers-0.43", "cuda-13.1", "crf21"])
def test_every_version_and_the_encoder_are(other: str) -> None:
    name = other.rpartition("-")[0] or "crf"
    words = [other if word.startswith(name) else word for word in VERSIONS.split(",")]
    assert versions_in(",".join(words)) != versions_in(CARD)


def test_what_is_not_known_binds_nothing() -> None:
    card = bond("m", CARD)
    assert goes_on(UNBOUND, card)
    assert goes_on(Bond("m", ""), card)
    assert goes_on(Bond("", VERSIONS), card)
    assert not goes_on(Bond("n", VERSIONS), card)
    assert not goes_on(Bond("m", VERSIONS), bond("m", ""))
