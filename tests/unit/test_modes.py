"""Rows ask for every mode of Helios; what does not fit together is said with what to do."""

from __future__ import annotations

import json

import pytest

from farm.domain.columns import near_miss
from farm.domain.inputs import object_key
from farm.domain.rows import Limits
from farm.domain.spec import ClipSpec, LoraUse, PromptMark
from tests.unit.test_rows import check, lines, words

LONG = {"id": "1", "prompt": "a cat", "frames": "240", "fps": "24"}
"""Eight chunks, of 1.375 seconds each."""
DESK = Limits()
SHARED = Limits(inputs=("/data/in", "/mnt/show"))
CLOSED = Limits(inputs=())


def spec_of(row: dict[str, str], **options) -> ClipSpec:
    checker, clips = check([{**LONG, **row}], **options)
    assert not checker.problems
    return clips[0].spec


def problem(row: dict[str, str], **options) -> str:
    """The only line, without its file and row."""
    (line,) = lines([{**LONG, **row}], **options)
    return line.removeprefix("f.csv:2:")


class TestModes:
    @pytest.mark.parametrize(
        ("row", "mode"),
        [
            ({}, "text_to_video"),
            ({"image": "/a.png"}, "image_to_video"),
            ({"video": "/a.mp4"}, "video_to_video"),
            ({"schedule": "4: It wakes."}, "interactive"),
            ({"schedule": "4: It wakes.", "image": "/a.png"}, "interactive"),
        ],
    )
    def test_a_rows_mode_follows_from_what_it_has(self, row: dict[str, str], mode: str) -> None:
        assert spec_of(row).mode == mode
        assert spec_of({**row, "mode": mode.replace("_", " ").upper()}).mode == mode

    @pytest.mark.parametrize(
        ("row", "line"),
        [
            (
                {"mode": "image_to_video"},
                (
                    "mode: image_to_video lacks its image, "
                    "give one in a column image, or leave the mode empty"
                ),
            ),
            (
                {"mode": "interactive", "image": "/a.png"},
                (
                    "mode: interactive lacks its schedule, "
                    "give one in a column schedule, or leave the mode empty"
                ),
            ),
            (
                {"mode": "text_to_video", "image": "/a.png"},
                (
                    "mode: text_to_video takes no image, leave the mode empty, "
                    "for with an image it is image_to_video, or remove the image"
                ),
            ),
            (
                {"mode": "video_to_video", "video": "/a.mp4", "schedule": "1: It wakes."},
                (
                    "mode: video_to_video takes no schedule, leave the mode empty, "
                    "for with a schedule it is interactive, or remove the schedule"
                ),
            ),
            (
                {"image": "/a.png", "video": "/a.mp4"},
                (
                    "video: there is an image and a video, keep one of them, "
                    "for a clip starts from an image or goes on from a video"
                ),
            ),
        ],
    )
    def test_a_mode_that_contradicts_the_row(self, row: dict[str, str], line: str) -> None:
        assert problem(row) == line

    def test_a_mode_for_all_rows_is_held_against_each(self) -> None:
        rows = [{"prompt": "a", "image": "/a.png"}, {"prompt": "b", "image": ""}]
        assert lines(rows, set_fields={"mode": "image_to_video"}) == [
            (
                "f.csv:3:mode: image_to_video lacks its image, "
                "give one in a column image, or leave the mode empty"
            )
        ]

    def test_a_field_that_is_broken_is_not_said_to_be_missing(self) -> None:
        row = {"mode": "image_to_video", "image": "a.png"}
        assert problem(row).startswith('image: "a.png" is no absolute path')

    def test_all_problems_of_a_row_come_at_once(self) -> None:
        row = {**LONG, "image": "a.png", "lora": "a:99", "image_noise": "2", "schedule": "9: x"}
        assert [line.split(":")[2] for line in lines([row])] == [
            "image",
            "lora",
            "image_noise",
            "schedule",
        ]


class TestInputs:
    @pytest.mark.parametrize(
        ("text", "limits", "found"),
        [
            ("/data/../etc//fox.png", DESK, "/etc/fox.png"),
            ("//data/fox.png", DESK, "/data/fox.png"),
            ("/data/in/a/../fox.png", SHARED, "/data/in/fox.png"),
            ("/mnt/show/é ü.mp4", SHARED, "/mnt/show/é ü.mp4"),
            ("s3://heliostat/in/fox 1.png", CLOSED, "s3://heliostat/in/fox 1.png"),
            ("S3://heliostat/k", DESK, "s3://heliostat/k"),
        ],
    )
    def test_places_that_nodes_read(self, text: str, limits: Limits, found: str) -> None:
        assert spec_of({"image": text}, limits=limits).image == found

    @pytest.mark.parametrize(
        ("text", "limits", "line"),
        [
            (
                "fox.png",
                DESK,
                '"fox.png" is no absolute path, write it from / on, or s3://heliostat/KEY',
            ),
            (
                "https://example.com/fox.png",
                DESK,
                (
                    '"https://example.com/fox.png": nodes fetch nothing from the web, '
                    "put it into the farm's bucket and write s3://heliostat/KEY"
                ),
            ),
            (
                "s3://other/fox.png",
                DESK,
                '"other" is not the farm\'s bucket, put it there: s3://heliostat/KEY',
            ),
            (
                "s3://heliostat/in/",
                DESK,
                '"s3://heliostat/in/" names no object, write s3://heliostat/KEY',
            ),
            (
                "/data/in/../../etc/shadow",
                SHARED,
                (
                    '"/etc/shadow" is not below /data/in or /mnt/show, '
                    "put it there, or into the farm's bucket: s3://heliostat/KEY"
                ),
            ),
            (
                "/data/in2/fox.png",
                SHARED,
                (
                    '"/data/in2/fox.png" is not below /data/in or /mnt/show, '
                    "put it there, or into the farm's bucket: s3://heliostat/KEY"
                ),
            ),
            (
                "/data/fox.png",
                CLOSED,
                (
                    "the farm takes no files of its nodes, put it into its bucket and write "
                    "s3://heliostat/KEY, or have the farm started with --inputs DIR"
                ),
            ),
            (
                "/data/a\nb",
                DESK,
                '"/data/a\\nb" holds a tab or line end, remove that character',
            ),
        ],
    )
    def test_places_that_they_do_not(self, text: str, limits: Limits, line: str) -> None:
        assert problem({"video": text}, limits=limits) == f"video: {line}"

    def test_only_objects_have_a_key(self) -> None:
        assert object_key("s3://heliostat/in/fox.png") == "in/fox.png"
        assert object_key("/data/fox.png") is None


class TestSchedule:
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
    def test_it_is_written_in_several_ways(self, text: str) -> None:
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
        self, mark: str, fps: str, chunk: int
    ) -> None:
        row = {"schedule": f"{mark}: It wakes.", "fps": fps}
        assert [each.chunk for each in spec_of(row).schedule] == [chunk]

    def test_prompts_take_over_as_fast_as_the_row_or_they_themselves_say(self) -> None:
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
    def test_a_schedule_that_cannot_be(self, text: str, line: str) -> None:
        assert problem({"schedule": text}) == f"schedule: {line}"

    def test_a_clip_of_one_chunk_has_no_room_for_it(self) -> None:
        row = {"schedule": "1: It wakes.", "frames": "33"}
        assert problem(row) == (
            "schedule: chunk 1 is not inside the clip, which is one chunk, "
            "give it more than 33 frames, or leave the schedule out"
        )

    def test_every_mark_outside_is_named(self) -> None:
        assert len(lines([{**LONG, "schedule": "3: a | 8: b | 9: c"}])) == 2

    def test_every_prompt_has_the_token_limit(self) -> None:
        row = {**LONG, "schedule": f"2: fine | 3: {'word ' * 512}| 5: {'word ' * 520}"}
        over = "tokens and the model reads 512, shorten it by"
        assert lines([row], count_tokens=words) == [
            f"f.csv:2:schedule: the prompt of chunk 3 has 513 {over} 1 tokens or more",
            f"f.csv:2:schedule: the prompt of chunk 5 has 521 {over} 9 tokens or more",
        ]

    def test_a_schedule_for_all_rows_is_checked_once_and_placed_in_each(self) -> None:
        rows = [{"prompt": "a", "fps": "24"}, {"prompt": "b", "fps": "12"}]
        _, clips = check(rows, set_fields={"schedule": "2.75s: It wakes."})
        assert [clip.spec.schedule[0].chunk for clip in clips] == [2, 1]
        settings = {"schedule": f"2: {'word ' * 512}"}
        (line,) = lines(rows, set_fields=settings, count_tokens=words)
        assert "the prompt at 2 has 513 tokens" in line


class TestTheRest:
    def test_loras_noise_and_flags(self) -> None:
        spec = spec_of(
            {
                "lora": "film:0.8, grain.v2",
                "image_noise": "0.05-0.1",
                "video_noise": "0",
                "skip_first_chunk": "Yes",
                "amplify_first_chunk": "FALSE",
            }
        )
        assert spec.loras == (LoraUse("film", 0.8), LoraUse("grain.v2", 1.0))
        assert (spec.image_noise, spec.video_noise) == ((0.05, 0.1), (0.0, 0.0))
        assert (spec.skip_first_chunk, spec.amplify_first_chunk) == (True, False)
        assert spec_of({"lora": '["film:0.8", "grain.v2"]'}).loras == spec.loras

    def test_what_a_row_leaves_empty_is_the_models_default(self) -> None:
        spec = spec_of({"amplify_first_chunk": "", "image_noise": " ", "skip_first_chunk": ""})
        assert (spec.amplify_first_chunk, spec.image_noise) == (None, None)
        assert spec.skip_first_chunk is False

    @pytest.mark.parametrize(
        ("column", "text", "line"),
        [
            (
                "lora",
                "../film",
                (
                    '"../film" is no name of a LoRA, write NAME or NAME:SCALE, '
                    "its name in letters, digits, dots, - and _"
                ),
            ),
            ("lora", "film:11", "11 is out of range, choose 0 to 10"),
            ("lora", "film, film:0.5", '"film" is named twice, name each LoRA once'),
            ("lora", ", ".join("abcdefghi"), "9 LoRAs are too many, keep to 8"),
            ("image_noise", "0.2-0.1", '"0.2-0.1" runs downwards, write 0.1-0.2'),
            ("image_noise", "1.5", "1.5 is out of range, choose 0 to 1"),
            ("video_noise", "0,1", '"0,1" has a decimal comma, write 0.1'),
            ("skip_first_chunk", "maybe", '"maybe" is neither yes nor no, write yes or no'),
            ("blend_chunks", "0", "0 is out of range, choose 1 to 100"),
        ],
    )
    def test_a_value_that_cannot_be(self, column: str, text: str, line: str) -> None:
        assert problem({column: text}) == f"{column}: {line}"

    def test_a_farm_without_loras_says_so(self) -> None:
        assert problem({"lora": "film"}, limits=Limits(loras=False)) == (
            "lora: the farm has no LoRAs, have it started with --loras DIR, or leave it out"
        )


@pytest.mark.parametrize(
    ("column", "field"),
    [("images", "image"), ("vidoe", "video"), ("shedule", "schedule"), ("loras", "lora")],
)
def test_a_near_miss_of_the_new_columns(column: str, field: str) -> None:
    assert near_miss(column) == field


@pytest.mark.parametrize("column", ["flora", "scheduler", "scheduled", "page", "stage", "audio"])
def test_words_of_their_own_are_no_near_misses(column: str) -> None:
    assert near_miss(column) == ""


@pytest.mark.parametrize(
    ("column", "field"),
    [("input_image", "image"), ("First Frame", "image"), ("init_video", "video")],
)
def test_other_names_are_kept_with_a_hint(column: str, field: str) -> None:
    checker, (clip,) = check([{"prompt": "a", column: "x"}])
    assert clip.columns == {column: "x"}
    assert [warning.remedy for warning in checker.warnings] == [
        f"if it means {field}, use --map {column}={field}"
    ]
