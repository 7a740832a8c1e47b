"""Rows ask for every mode of Helios; what does not fit together is said with what to do."""

from __future__ import annotations

import pytest

from farm.domain.columns import near_miss
from farm.domain.inputs import object_key
from farm.domain.rows import Limits
from farm.domain.spec import ClipSpec, LoraUse
from tests.unit.test_rows import check, lines

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
                "s3://heliostat/../secrets/key",
                DESK,
                '"s3://heliostat/../secrets/key" names no object, write s3://heliostat/KEY',
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
