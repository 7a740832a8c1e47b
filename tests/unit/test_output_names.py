"""What clips' files are called: by a template, safe on every system, all different in a batch."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.domain.output_names import NameFacts, file_name_for, template_of
from farm.domain.rows import RowChecker
from farm.domain.values import BadValue


def facts(name: str = "sh010", **columns: str) -> NameFacts:
    return NameFacts(
        project="show",
        batch="night",
        name=name,
        row=2,
        seed=7,
        width=640,
        height=384,
        fps=24,
        frames=66,
        mode="text_to_video",
        quality="draft",
        columns=columns,
    )


@pytest.mark.parametrize(
    ("template", "version", "expected"),
    [
        ("", 12, "sh010_v012"),
        ("{project}_{Sequence}_{shot-code}_{task}_v{version:03}", 1, "show_sq1_0010_anim_v001"),
        ("{sequence}/{shot_code:06}/{id}_v{version:04d}", 3, "sq1/000010/sh010_v0003"),
        (
            "{name}.{seed}.{width}x{height}.{fps}.{frames}.{mode}.{quality}.r{row}.{batch}-{version}",
            1,
            "sh010.7.640x384.24.66.text_to_video.draft.r2.night-1",
        ),
        ("{{{id}}}_v{version}", 1, "{sh010}_v1"),
    ],
)
def test_a_template_names_the_files(template: str, version: int, expected: str) -> None:
    given_facts = facts(sequence="sq1", task="anim", **{"Shot Code": "0010"})
    assert file_name_for(template, given_facts, version) == expected


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{id}", "it lacks {version}, add _v{version:03}, "),
        ("{id_v{version}", "its braces do not match"),
        ("{id}}_v{version}", "its braces do not match"),
        ("/{id}_v{version}", "a part of its path is empty"),
        ("a/../{id}_v{version}", "a part of its path is empty"),
        ("{id}_v{version}/", "a part of its path is empty"),
        ("a\\{id}_v{version}", '"\\" can be in no file\'s name, use / for folders'),
        ("c:{id}_v{version}", '":" can be in no file\'s name'),
        ("{id!r}_v{version}", '"id" is no field'),
        ("{}_v{version}", "a field has no name"),
        ("{id}_v{version:>3}", '">3" is no way to write version'),
        ("{id}_v{version:099}", '"099" is no way to write version'),
        ("{id}\n_v{version}", "it holds a control character"),
        ("/".join("abcdefghij") + "{version}", "it has 9 folders, keep to 8"),
        ("x" * 501, "it has 501 characters"),
    ],
)
def test_a_template_that_names_nothing_is_refused(template: str, what: str) -> None:
    with pytest.raises(BadValue) as bad:
        template_of(template)
    assert str(bad.value).startswith(what)


@pytest.mark.parametrize(
    ("value", "part"),
    [
        ("../../etc", ".._.._etc_v1"),
        ("a/b\\c:d", "a_b_c_d_v1"),
        ("tab\there\x00", "tab_here__v1"),
        ("猫🐈", "猫🐈_v1"),
    ],
)
def test_values_cannot_leave_their_folder(value: str, part: str) -> None:
    expected = part if part[0] != "." else f"_{part}"
    assert file_name_for("x/{shot}_v{version}", facts(shot=value), 1) == f"x/{expected}"


@pytest.mark.parametrize(("value", "folder"), [("..", "_"), ("CON", "_CON"), ("nul.x", "_nul.x")])
def test_folders_that_some_system_reserves_are_renamed(value: str, folder: str) -> None:
    found = file_name_for("{shot}/{id}_v{version}", facts(shot=value), 1)
    assert found == f"{folder}/sh010_v1"


@given(st.text(max_size=300), st.text(min_size=1, max_size=300), st.integers(1, 10**6))
def test_whatever_a_template_and_a_value_are_the_name_is_safe_or_refused(
    template: str, value: str, version: int
) -> None:
    try:
        found = file_name_for(template + "{shot}_v{version:03}", facts(shot=value), version)
    except BadValue:
        return
    for part in found.split("/"):
        assert part.strip(". ")
        assert len(part.encode()) <= 200
        assert not set(part) & set('<>:"\\|?*\0\n\r')
        assert part[-1] not in ". "


def problems(rows: list[dict[str, str]], output: str, *, header: bool = True) -> list[str]:
    checker = RowChecker(
        batch_name="b", columns=list(rows[0]) if header else None, output=output, project="p"
    )
    checker.check(enumerate(rows, 2))
    checker.finish()
    return [f"{p.row}:{p.column}: {p.what}, {p.remedy}" for p in checker.problems]


ROWS = [
    {"id": "a", "prompt": "x", "Shot": "10", "lens": ""},
    {"id": "b", "prompt": "x", "Shot": "20", "lens": "35"},
]


class TestOfABatch:
    def test_each_clip_gets_its_name(self) -> None:
        checker = RowChecker(batch_name="b", output="{shot:04}/{id}_v{version:03}", project="p")
        clips = checker.check(enumerate(ROWS, 2))
        assert [clip.file_name for clip in clips] == ["0010/a_v001", "0020/b_v001"]

    @pytest.mark.parametrize("header", [True, False])
    def test_an_unknown_field_is_one_problem_with_the_known_ones(self, header: bool) -> None:
        (line,) = problems(ROWS, "{shto}_v{version}", header=header)
        assert line.startswith(
            '0:--output: there is no field "shto", did you mean {shot}? there are project, batch'
        )
        assert line.endswith("quality, lens, shot")

    def test_a_row_without_the_column_is_named(self) -> None:
        (line,) = problems(ROWS, "{lens}_{id}_v{version}")
        assert line.startswith("2:lens: the output's name has {lens} and the row has no lens")

    def test_names_that_meet_are_named_with_both_rows(self) -> None:
        rows = [{**ROWS[0], "Shot": "A"}, {**ROWS[1], "Shot": "a"}]
        assert problems(rows, "{shot}_v{version}") == [
            (
                '3:--output: its files would be called "a_v1" like those of row 2, '
                "add {id} to the template"
            )
        ]

    @pytest.mark.parametrize("ids", [("a/b", "a:b"), ("a_b", "a?b"), ("a*b", "A_B")])
    def test_ids_that_no_file_system_tells_apart_are_refused(self, ids: tuple[str, str]) -> None:
        (line,) = problems([{"id": each, "prompt": "x"} for each in ids], "")
        assert line.startswith("3:id: its files would be called")
        assert "like those of row 2" in line

    def test_a_broken_template_is_said_once(self) -> None:
        (line,) = problems(ROWS, "{shot")
        assert line.startswith("0:--output: its braces do not match")
