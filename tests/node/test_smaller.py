"""What a card gives up, in order, when a clip does not fit into its memory (REL-6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from node_agent.render.child import ChildOptions


def ladder(options: ChildOptions, placement: str) -> list[str]:
    """What is tried, one after another; `streamed` are the weights of a child that is told so."""
    steps = [options.memory_words]
    smaller: ChildOptions | None = options
    while smaller := smaller.smaller("streamed" if smaller.streamed else placement):
        steps.append(smaller.memory_words)
    return steps


@pytest.mark.parametrize(
    ("lanes", "device", "placement", "expected"),
    [
        (4, "cuda:0", "resident", ["4 lanes", "one lane", "one lane and weights streamed"]),
        (1, "cuda:0", "resident", ["one lane", "one lane and weights streamed"]),
        (1, "cuda:0", "partly streamed", ["one lane", "one lane and weights streamed"]),
        (2, "cuda:0", "streamed", ["2 lanes", "one lane"]),
        (1, "cpu", "resident", ["one lane"]),
        (2, "cpu", "", ["2 lanes", "one lane"]),
    ],
)
def test_lanes_go_first_then_the_weights(
    lanes: int, device: str, placement: str, expected: list[str]
) -> None:
    options = ChildOptions(renderer="helios", model=Path("m"), device=device, lanes=lanes)
    steps = [step.removesuffix(" from host memory") for step in ladder(options, placement)]
    assert steps == expected


def test_the_child_is_told() -> None:
    assert "--streamed" in ChildOptions(renderer="helios", streamed=True).arguments()
    assert "--streamed" not in ChildOptions(renderer="helios").arguments()
    capped = ChildOptions(renderer="helios", vram_bytes=8, ram_bytes=26, pageable=True)
    assert capped.arguments()[-5:] == ["--vram", "8", "--ram", "26", "--pageable"]
    for compiled, words in ((True, ["--compile"]), (False, ["--no-compile"]), (None, [])):
        arguments = ChildOptions(renderer="helios", compiled=compiled).arguments()
        assert [word for word in arguments if "compile" in word] == words
