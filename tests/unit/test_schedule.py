"""Prompts that follow are placed in the clip exactly, or refused with the place that they have."""

from __future__ import annotations

import json

import pytest

from farm.domain.schedule import effective_schedule
from farm.domain.spec import ClipSpec, PromptMark
from tests.unit.test_modes import LONG, problem, spec_of
from tests.unit.test_rows import check, lines, words


@pytest.mark.parametrize(
    "text",
    [
        "2: It wakes.\n5: It runs: fast.",
        "2: It wakes. | 5: It runs: fast.",
        " chunk 2 : It wakes. \r\n\r\n Chunk 5: It runs: fast.",
        "2.75s: It wakes. | 6.875s: It runs: fast.",
        '[{"at": 2, "prompt": "It wakes."}, {"at": "chunk 5", "prompt": "It runs: fast."}]',
    ],
)
def test_it_is_written_in_several_ways(text: str) -> None:
    assert spec_of({"schedule": text}).schedule == (
        PromptMark(2, "It wakes.", 3),
        PromptMark(5, "It runs: fast.", 3),
    )


@pytest.mark.parametrize(
    ("mark", "fps", "chunk"),
    [
        ("1.375s", "24", 1),
        ("1.376s", "24", 2),
        ("0.001s", "24", 1),
        ("2.75s", "12", 1),
        ("9s", "24", 7),
        ("1.1s", "30", 1),
        ("1.100001s", "30", 2),
    ],
)
def test_a_time_counts_from_the_first_chunk_that_begins_then_or_later(
    mark: str, fps: str, chunk: int
) -> None:
    row = {"schedule": f"{mark}: It wakes.", "fps": fps}
    assert [each.chunk for each in spec_of(row).schedule] == [chunk]


def test_prompts_take_over_as_fast_as_the_row_or_they_themselves_say() -> None:
    items = [
        {"at": "2", "prompt": "a\n5: b | c", "blend_chunks": "1"},
        {"at": "4", "prompt": "d"},
    ]
    row = {"schedule": json.dumps(items), "blend_chunks": "5"}
    assert spec_of(row).schedule == (
        PromptMark(2, "a\n5: b | c", 1),
        PromptMark(4, "d", 5),
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (
            "It wakes.",
            (
                '"It wakes." does not begin with a chunk or a time, '
                "write MARK: PROMPT, such as 4: The cat wakes. or 5s: The cat wakes."
            ),
        ),
        (
            "2: It wakes.\nthen: it runs",
            (
                '"then: it runs" does not begin with a chunk or a time, '
                "write MARK: PROMPT, such as 4: The cat wakes. or 5s: The cat wakes."
            ),
        ),
        (
            "0s: It wakes.",
            '"0s" is where the clip begins, write that prompt into the prompt\'s column',
        ),
        (
            "0: It wakes.",
            '"0" is where the clip begins, write that prompt into the prompt\'s column',
        ),
        ("3:", 'the prompt at "3" is empty, write one or remove the mark'),
        (
            "8: It wakes.",
            "chunk 8 is not inside the clip, choose chunk 1 to 7, or a time up to 9.62s",
        ),
        (
            "9.7s: It wakes.",
            "9.7s (chunk 8) is not inside the clip, choose chunk 1 to 7, or a time up to 9.62s",
        ),
        (
            "4: a | 2s: b",
            "2s (chunk 2) comes after chunk 4, give each chunk one prompt, in their order",
        ),
        (
            "2: a | 2s: b",
            "2s (chunk 2) has two prompts, give each chunk one prompt, in their order",
        ),
        ("[4", '"[4" is no list, write each as {"at": "5s", "prompt": "The cat wakes."}'),
        (
            '[{"at": 4.5, "prompt": "a"}]',
            '"4.5" is no chunk and no time, write 4, or 5s',
        ),
        (
            '[{"prompt": "a"}]',
            (
                '"{"prompt": "a"}" has no at and prompt, '
                'write each as {"at": "5s", "prompt": "The cat wakes."}'
            ),
        ),
        (
            '[{"at": 4, "prompt": "a", "blend_chunks": 0}]',
            "0 is out of range, choose 1 to 100",
        ),
    ],
)
def test_a_schedule_that_cannot_be(text: str, line: str) -> None:
    assert problem({"schedule": text}) == f"schedule: {line}"


def test_a_clip_of_one_chunk_has_no_room_for_it() -> None:
    row = {"schedule": "1: It wakes.", "frames": "33"}
    assert problem(row) == (
        "schedule: chunk 1 is not inside the clip, which is one chunk, "
        "give it more than 33 frames, or leave the schedule out"
    )


def test_every_mark_outside_is_named() -> None:
    assert len(lines([{**LONG, "schedule": "3: a | 8: b | 9: c"}])) == 2


def test_every_prompt_has_the_token_limit() -> None:
    row = {**LONG, "schedule": f"2: fine | 3: {'word ' * 512}| 5: {'word ' * 520}"}
    over = "tokens and the model reads 512, shorten it by"
    assert lines([row], count_tokens=words) == [
        f"f.csv:2:schedule: the prompt of chunk 3 has 513 {over} 1 tokens or more",
        f"f.csv:2:schedule: the prompt of chunk 5 has 521 {over} 9 tokens or more",
    ]


def test_a_schedule_for_all_rows_is_checked_once_and_placed_in_each() -> None:
    rows = [{"prompt": "a", "fps": "24"}, {"prompt": "b", "fps": "12"}]
    _, clips = check(rows, set_fields={"schedule": "2.75s: It wakes."})
    assert [clip.spec.schedule[0].chunk for clip in clips] == [2, 1]
    settings = {"schedule": f"2: {'word ' * 512}"}
    (line,) = lines(rows, set_fields=settings, count_tokens=words)
    assert "the prompt at 2 has 513 tokens" in line


def a_clip(*schedule: PromptMark, **more: str) -> ClipSpec:
    size = {"frames": 165, "height": 64, "width": 64, "fps": 24, "seed": 1}
    return ClipSpec(**{"prompt": "day", **size, "schedule": schedule, **more})  # type: ignore[arg-type]


def test_a_steered_clip_asked_for_again_has_the_prompts_that_it_followed() -> None:
    planned, rain = PromptMark(2, "noon"), PromptMark(4, "rain", 1)
    steered = (PromptMark(1, "dusk", 1), PromptMark(2, "night"))
    again = effective_schedule(a_clip(planned, rain), steered)
    assert again == a_clip(*steered, rain, mode="interactive")
    assert effective_schedule(a_clip(planned), ()) == a_clip(planned)


def test_one_that_was_steered_before_it_began_has_another_first_prompt() -> None:
    again = effective_schedule(a_clip(), (PromptMark(0, "dusk"),))
    assert again == a_clip(prompt="dusk")
