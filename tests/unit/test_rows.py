"""A submission is accepted whole, or every problem in it is listed with what to do about it."""

from __future__ import annotations

import hashlib

import pytest

from farm.cli.output import problem_line
from farm.domain.columns import FIELDS, edit_distance, near_miss
from farm.domain.rows import Limits, RowChecker
from farm.domain.spec import ClipSpec, NewClip


def words(texts):
    """A tokenizer of sorts: a token for each word, and one for the end."""
    return [len(text.split()) + 1 for text in texts]


def check(rows, **options):
    """Rows numbered from 2 under a header of the first row's columns, unless said otherwise."""
    options.setdefault("columns", list(rows[0]) if rows else ["prompt"])
    checker = RowChecker(batch_name="shots", **options)
    clips = checker.check(list(enumerate(rows, 2)))
    checker.finish()
    return checker, clips


def lines(rows, **options):
    """The lines that a user sees."""
    checker, _ = check(rows, **options)
    return [problem_line("f.csv", problem) for problem in checker.problems]


class TestAccepted:
    def test_a_row_says_all_that_it_wants(self) -> None:
        row = {
            "id": "shot_010",
            "prompt": " A cat\nsleeps. ",
            "negative_prompt": "blur",
            "frames": "66",
            "size": "128x192",
            "fps": "16",
            "seed": str(2**63 - 1),
            "steps": "2-2-2",
            "guidance_scale": "5.5",
            "quality": "Draft",
            "mode": "text to video",
            "sequence": "sq 1",
        }
        checker, clips = check([row])
        assert not checker.problems
        assert clips == [
            NewClip(
                ordinal=1,
                row=2,
                name="shot_010",
                spec=ClipSpec(
                    prompt="A cat\nsleeps.",
                    negative_prompt="blur",
                    frames=66,
                    width=128,
                    height=192,
                    fps=16,
                    seed=2**63 - 1,
                    steps=(2, 2, 2),
                    guidance_scale=5.5,
                    quality="draft",
                ),
                columns={"sequence": "sq 1"}, file_name="shot_010_v001",
            )
        ]  # fmt: skip
        assert (checker.rows, checker.frames) == (1, 66)

    def test_what_a_row_leaves_out_has_a_default(self) -> None:
        _, (clip,) = check([{"prompt": "a cat", "frames": " "}])
        seed = int.from_bytes(hashlib.sha256(b"shots/00001").digest()[:4])
        assert clip.name == "00001"
        assert clip.spec == ClipSpec(
            prompt="a cat", frames=120, width=640, height=384, fps=24, seed=seed
        )

    def test_the_same_file_has_the_same_seeds_and_each_row_its_own(self) -> None:
        rows = [{"id": str(n), "prompt": "a cat"} for n in range(100)]
        first, again = ([clip.spec.seed for clip in check(rows)[1]] for _ in range(2))
        assert first == again
        assert len(set(first)) == 100

    @pytest.mark.parametrize("column", ["Prompt", " prompt ", "PROMPT"])
    def test_columns_are_known_in_any_case_and_trimmed(self, column: str) -> None:
        checker, clips = check([{column: "a cat", "Negative Prompt": "x", "guidance-scale": "1"}])
        assert not checker.problems
        assert not checker.warnings
        assert (clips[0].spec.negative_prompt, clips[0].spec.guidance_scale) == ("x", 1.0)

    @pytest.mark.parametrize(
        ("text", "steps"),
        [("2,2,2", (2, 2, 2)), ("2 2 2", (2, 2, 2)), ("[20, 20, 20]", (20, 20, 20)), ("50", (50,))],
    )
    def test_steps_are_written_in_several_ways(self, text: str, steps: tuple[int, ...]) -> None:
        assert check([{"prompt": "a", "steps": text}])[1][0].spec.steps == steps

    def test_a_column_is_mapped_and_a_field_is_set_for_all(self) -> None:
        rows = [{"text": "a", "duration": "240", "steps": "what"}]
        checker, (clip,) = check(
            rows,
            column_map={"text": "prompt", "duration": "frames"},
            set_fields={"steps": "1,1,1", "size": "64x128"},
        )
        spec = clip.spec
        assert (spec.prompt, spec.frames, spec.steps) == ("a", 240, (1, 1, 1))
        assert (spec.width, spec.height) == (64, 128)
        assert not checker.warnings

    def test_settings_come_before_the_file(self) -> None:
        rows = [{"prompt": "a", "size": "640x384", "seed": "1", "width": "128", "height": "128"}]
        _, (clip,) = check(rows, set_fields={"size": "256x256", "seed": "7"})
        assert (clip.spec.width, clip.spec.height, clip.spec.seed) == (256, 256, 7)

    def test_a_near_miss_may_stay_as_own_data_when_it_is_said(self) -> None:
        rows = [{"prompt": "a", "promt": "note"}]
        checker, (clip,) = check(rows, column_map={"promt": "promt"})
        assert not checker.problems
        assert clip.columns == {"promt": "note"}

    def test_what_others_call_our_fields_is_kept_with_a_warning(self) -> None:
        checker, (clip,) = check([{"prompt": "a", "duration": "240"}])
        assert clip.columns == {"duration": "240"}
        assert clip.spec.frames == 120
        assert [problem_line("f.csv", p) for p in checker.warnings] == [
            (
                'f.csv:1:duration: "duration" is kept as your own data, if it means frames, '
                "use --map duration=frames"
            )
        ]

    def test_rows_may_name_their_own_columns(self) -> None:
        rows = [{"prompt": "a"}, {"prompt": "b", "frames": "33"}, {"prompt": "c", "id": "x"}]
        checker, clips = check(rows, columns=None)
        assert not checker.problems
        assert [(clip.name, clip.spec.frames) for clip in clips] == [
            ("00001", 120),
            ("00002", 33),
            ("x", 120),
        ]

    def test_a_size_may_come_as_two_columns(self) -> None:
        _, (clip,) = check([{"prompt": "a", "width": "128", "height": "64"}])
        assert (clip.spec.width, clip.spec.height) == (128, 64)


ONE_VALUE = [
    ("prompt", " ", "the prompt is empty, write one or remove the row"),
    (
        "prompt",
        "a\0b",
        "the text holds the control character U+0000, remove it, or save the file as UTF-8",
    ),
    ("frames", "0", "0 is out of range, choose 1 to 14400"),
    ("frames", "-5", "-5 is out of range, choose 1 to 14400"),
    ("frames", "14401", "14401 is out of range, choose 1 to 14400"),
    ("frames", "9" * 30, f"{'9' * 30} is out of range, choose 1 to 14400"),
    ("frames", "12.5", '"12.5" is not a whole number, write one from 1 to 14400'),
    ("frames", "120.0", '"120.0" is not a whole number, write 120'),
    ("frames", "1,440", '"1,440" is not a whole number, write 1440'),
    ("frames", "1e3", '"1e3" is not a whole number, write one from 1 to 14400'),
    ("frames", "\uff11\uff12", '"\uff11\uff12" is not written in the digits 0 to 9, use those'),
    ("frames", "many", '"many" is not a whole number, write one from 1 to 14400'),
    ("size", "600x384", "600 in 600x384 is not a multiple of 64, use 576x384"),
    ("size", "640", '"640" is not a size, write WIDTHxHEIGHT, such as 640x384'),
    ("size", "0x64", "0 in 0x64 is out of range, choose 64 to 1920 for each side"),
    ("size", "6400x64", "6400 in 6400x64 is out of range, choose 64 to 1920 for each side"),
    (
        "size",
        "1920x1152",
        "1920x1152 is 2211840 pixels, choose a size of at most 2088960 pixels, such as 1920x1088",
    ),
    ("fps", "121", "121 is out of range, choose 1 to 120"),
    ("seed", "-1", f"-1 is out of range, choose 0 to {2**63 - 1}"),
    ("seed", str(2**63), f"{2**63} is out of range, choose 0 to {2**63 - 1}"),
    (
        "steps",
        "2;two",
        (
            '"2;two" is not a list of steps, write one number or one for each stage, '
            "such as 2,2,2 (1 to 200)"
        ),
    ),
    ("guidance_scale", "5,0", '"5,0" has a decimal comma, write 5.0'),
    ("guidance_scale", "nan", '"nan" is not a number, write one from 0 to 100'),
    ("quality", "best", '"best" is no quality, choose draft, standard or exact'),
    (
        "mode",
        "music_to_video",
        (
            '"music_to_video" is no mode, '
            "use text_to_video, image_to_video, video_to_video or interactive"
        ),
    ),
    ("id", "a\tb", '"a\\tb" holds a tab or line end, remove that character'),
    ("note", "\x1b[2J", None),
]


class TestTheFarmsModel:
    """What the model that the farm renders with cannot do is refused before any card is asked."""

    def test_steps_are_as_many_as_its_stages(self) -> None:
        rows = [{"prompt": "a", "steps": steps} for steps in ("2,2,2", "50", "2,2")]
        assert lines(rows, limits=Limits(stages=3)) == [
            (
                'f.csv:3:steps: "50" does not fit the farm\'s model, which has 3 stages, '
                "write 3 of them, such as 2,2,2"
            ),
            (
                'f.csv:4:steps: "2,2" does not fit the farm\'s model, which has 3 stages, '
                "write 3 of them, such as 2,2,2"
            ),
        ]
        assert lines(rows, limits=Limits(stages=1))[0].endswith("write 1 of them, such as 50")

    def test_a_distilled_model_takes_no_guidance(self) -> None:
        rows = [{"prompt": "a", "guidance_scale": scale} for scale in ("1", "5.0")]
        (line,) = lines(rows, limits=Limits(guided=False))
        assert line.startswith('f.csv:3:guidance_scale: "5.0": the farm\'s model is distilled')
        assert lines(rows, limits=Limits(guided=True)) == []


class TestRefused:
    @pytest.mark.parametrize(("column", "text", "line"), ONE_VALUE)
    def test_a_value_that_cannot_be(self, column: str, text: str, line: str | None) -> None:
        line = line or (
            "the text holds the control character U+001B, remove it, or save the file as UTF-8"
        )
        row = {"id": "1", "prompt": "a cat", column: text}
        assert lines([row]) == [f"f.csv:2:{column}: {line}"]

    @pytest.mark.parametrize(
        ("column", "field"),
        [
            ("promt", "prompt"),
            ("Prompts", "prompt"),
            ("pormpt", "prompt"),
            ("promts", "prompt"),
            ("frame", "frames"),
            ("seeds", "seed"),
            ("sizes", "size"),
            ("step", "steps"),
            ("ids", "id"),
            ("qualty", "quality"),
            ("negativ prompt", "negative_prompt"),
        ],
    )
    def test_a_near_miss_of_a_column(self, column: str, field: str) -> None:
        value = "64x64" if field == "size" else "draft" if field == "quality" else "1"
        row = {"prompt": "a cat", column: value} if field != "prompt" else {column: "a cat"}
        assert lines([row]) == [
            (
                f'f.csv:1:{column}: "{column}" is no column of ours but close to "{field}", '
                f"rename it, or use --map {column}={field}, or --map {column}={column} "
                "to keep it as your own data"
            )
        ]

    @pytest.mark.parametrize(
        "column",
        ["model", "site", "code", "node", "side", "weight", "props", "promo", "pid", "note"],
    )
    def test_a_word_of_its_own_is_no_near_miss(self, column: str) -> None:
        assert near_miss(column) == ""
        assert check([{"prompt": "a", column: "x"}])[1][0].columns == {column: "x"}

    def test_an_id_that_was_there_before_in_any_case(self) -> None:
        rows = [{"id": i, "prompt": "a"} for i in ("Shot", "b", "shot", "b", "Ä", "A\u0308", "")]
        taken = "give each row an id of its own, different in more than case"
        assert lines(rows) == [
            f'f.csv:4:id: the id "shot" is too much like "Shot" of row 2, {taken}',
            f'f.csv:5:id: the id "b" is taken by row 3, {taken}',
            f'f.csv:7:id: the id "A\u0308" is too much like "Ä" of row 6, {taken}',
            "f.csv:8:id: the id is empty, give the row an id of its own",
        ]

    def test_a_prompt_over_the_token_limit(self) -> None:
        rows = [{"prompt": "word " * 511}, {"prompt": "word " * 512}, {"prompt": "ü " * 600}]
        assert lines(rows, count_tokens=words) == [
            (
                "f.csv:3:prompt: the prompt has 513 tokens and the model reads 512, "
                "shorten it by 1 tokens or more"
            ),
            (
                "f.csv:4:prompt: the prompt has 601 tokens and the model reads 512, "
                "shorten it by 89 tokens or more"
            ),
        ]

    def test_a_file_without_prompts(self) -> None:
        assert lines([{"id": "1", "text": "a"}]) == [
            (
                "f.csv:1:-: there is no column for the prompt, "
                "name one prompt, or say which it is with --map COLUMN=prompt"
            )
        ]

    def test_two_columns_for_the_same_field(self) -> None:
        both = "both give frames, keep one of them, remove or rename the other"
        rows = [{"prompt": "a", "frames": "1", "duration": "2"}]
        assert lines(rows, column_map={"duration": "frames"}) == [
            f'f.csv:1:duration: "frames" and "duration" {both}'
        ]
        assert lines(rows, column_map={"duration": "frames"}, columns=None) == [
            f'f.csv:2:duration: "frames" and "duration" {both}'
        ]

    def test_settings_that_cannot_be(self) -> None:
        found = lines(
            [{"prompt": "a"}],
            column_map={"nowhere": "frames", "prompt": "promt"},
            set_fields={"frmes": "1", "size": "1x1", "id": "x", "seed": " "},
        )
        fields = ", ".join(FIELDS)
        assert found == [
            (
                'f.csv:0:--set frmes=1: there is no field "frmes", did you mean frames? '
                f"use one of {fields.removeprefix('id, after, ')}"
            ),
            "f.csv:0:--set size=1x1: 1 in 1x1 is out of range, choose 64 to 1920 for each side",
            "f.csv:0:--set id=x: the id cannot be the same for all, give each row its own",
            "f.csv:0:--set seed= : the value is empty, write one after the =",
            (
                'f.csv:0:--map prompt=promt: there is no field "promt", did you mean prompt? '
                f"use one of {fields}"
            ),
            (
                'f.csv:0:--map nowhere=frames: the file has no column "nowhere", '
                'name one that it has (its columns are "prompt")'
            ),
        ]

    def test_a_mapped_column_that_no_row_has(self) -> None:
        assert lines([{"prompt": "a"}], column_map={"x": "frames"}, columns=None) == [
            (
                'f.csv:0:--map x=frames: the file has no column "x", '
                "name one that it has (no row has it)"
            )
        ]

    def test_half_a_size_and_two_sizes(self) -> None:
        assert lines([{"prompt": "a", "width": "64"}]) == [
            "f.csv:2:width: there is no height with it, give both, or size"
        ]
        rows = [{"prompt": "a", "size": "64x64", "width": "128", "height": "64"}]
        assert lines(rows) == [
            "f.csv:2:width: it contradicts the size 64x64, keep size, or width and height"
        ]

    def test_no_rows(self) -> None:
        assert lines([]) == ["f.csv:0:-: there are no clips, add a row for each clip"]

    def test_all_problems_of_all_rows_in_the_order_of_the_file(self) -> None:
        rows = [{"frames": "0", "prompt": "", "seed": "-1"}, {"frames": "x", "prompt": "a"}] * 500
        checker, _ = check(rows)
        found = [(problem.row, problem.column) for problem in checker.problems]
        assert found[:4] == [(2, "frames"), (2, "prompt"), (2, "seed"), (3, "frames")]
        assert len(found) == 2000
        assert found == sorted(found)

    def test_rows_without_problems_are_no_clips_beside_one_with(self) -> None:
        assert check([{"prompt": "a"}, {"prompt": "b", "frames": "0"}])[1] == []

    def test_a_problem_in_a_late_block_refuses_the_rest(self) -> None:
        checker = RowChecker(batch_name="b", columns=["prompt"])
        assert len(checker.check([(2, {"prompt": "a"})])) == 1
        assert checker.check([(3, {})]) == []
        assert checker.check([(4, {"prompt": "a"})]) == []
        checker.finish()
        assert [problem.row for problem in checker.problems] == [3]

    def test_a_list_without_end_ends_with_a_line_that_says_so(self) -> None:
        checker, _ = check([{"prompt": "a", "frames": "0"}] * 200, limits=Limits(problems_max=100))
        assert len(checker.problems) == 101
        assert problem_line("f.csv", checker.problems[-1]) == (
            "f.csv:102:-: more than 100 problems and the rest is not listed, "
            "mend these and try again"
        )

    def test_more_clips_or_columns_than_the_farm_takes(self) -> None:
        found = lines([{"prompt": "a"}] * 12, limits=Limits(clips_max=10))
        assert found == ["f.csv:12:-: more than 10 clips, split the file into several batches"]
        wide = {"prompt": "a"} | {f"own{n}": "x" for n in range(300)}
        remedy = "more than 200 columns, remove those that nobody needs"
        assert lines([wide] * 2) == [f"f.csv:1:-: {remedy}"]
        assert lines([wide] * 2, columns=None) == [f"f.csv:2:-: {remedy}"]


@pytest.mark.parametrize(
    ("a", "b", "slips"),
    [("frames", "frames", 0), ("frame", "frames", 1), ("farmes", "frames", 1), ("", "id", 2)],
)
def test_slips_of_the_pen_are_counted(a: str, b: str, slips: int) -> None:
    assert edit_distance(a, b) == edit_distance(b, a) == slips
