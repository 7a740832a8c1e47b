"""Whatever a file holds, its rows come out of it or a line that says what is wrong with it."""

from __future__ import annotations

import json
import os
import tracemalloc
from pathlib import Path

import pytest

from farm.cli.output import problem_line
from farm.client.submission import check_file
from farm.client.submission import merged as merge
from farm.domain.spec import Problem
from heliostat.v1 import batch_service_pb2 as pb


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def rows(path: Path, *mapped: str):
    """The columns and rows of a file without problems."""
    checked = check_file(path, mapped)
    assert not checked.problems
    assert checked.source is not None
    return list(checked.source.columns), list(checked.source.rows())


def lines(path: Path) -> list[str]:
    return [problem_line(path.name, problem) for problem in check_file(path, ()).problems]


class TestCsv:
    def test_rows_are_records_and_empty_cells_left_out(self, tmp_path: Path) -> None:
        text = 'id,prompt,note\n1,"a cat,\nasleep ""here""",\n\n,,\n2,b,x y\n'
        assert rows(write(tmp_path / "f.csv", text)) == (
            ["id", "prompt", "note"],
            [
                (2, {"id": "1", "prompt": 'a cat,\nasleep "here"'}),
                (5, {"id": "2", "prompt": "b", "note": "x y"}),
            ],
        )

    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
    @pytest.mark.parametrize("mark", ["", "\ufeff"])
    def test_as_spreadsheets_save_it(self, tmp_path: Path, line_end: str, mark: str) -> None:
        text = line_end.join([f"{mark}id,prompt", "1,ein Käfer 猫", ""])
        assert rows(write(tmp_path / "f.csv", text))[1] == [
            (2, {"id": "1", "prompt": "ein Käfer 猫"})
        ]

    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("f.csv", "id;prompt;note\n1;a, b, c;x\n"),
            ("f.tsv", "id\tprompt\tnote\n1\ta, b, c\tx\n"),
            ("f.csv", 'id,prompt,note\n1,"a, b, c",x\n'),
        ],
    )
    def test_the_delimiter_is_told_by_the_header(
        self, tmp_path: Path, name: str, text: str
    ) -> None:
        assert rows(write(tmp_path / name, text))[1] == [
            (2, {"id": "1", "prompt": "a, b, c", "note": "x"})
        ]

    def test_one_column_of_text_with_semicolons(self, tmp_path: Path) -> None:
        assert rows(write(tmp_path / "f.csv", "prompt\na; b\n"))[1] == [(2, {"prompt": "a; b"})]

    def test_columns_without_a_name_may_stay_empty(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.csv", "prompt,,\na,,\nb,\nc\nd,,,,\n")
        assert [cells for _, cells in rows(path)[1]] == [{"prompt": p} for p in "abcd"]

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("", "f.csv:1:-: the file is empty, write a header and a row for each clip"),
            (" \n\n", "f.csv:1:-: the file is empty, write a header and a row for each clip"),
            ("\ufeff", "f.csv:1:-: the file is empty, write a header and a row for each clip"),
            (
                "id,prompt\n",
                "f.csv:1:-: there is a header but no row under it, add a row for each clip",
            ),
            (
                "id,prompt\n1,a\n2,b,c\n",
                (
                    "f.csv:3:-: the row has 3 cells and the header 2, "
                    'put text with a "," in it in quotes'
                ),
            ),
            (
                "id,prompt,\n1,a,b\n",
                "f.csv:2:-: cell 3 is in a column without a name, name the column in the header",
            ),
            (
                "note,prompt,note\nx,a,y\n",
                'f.csv:1:note: two columns are called "note", rename or remove one of them',
            ),
            (
                b"id,prompt\n1,a\n2,caf\xe9\n",
                (
                    "f.csv:3:prompt: the byte 0xE9 is not UTF-8, "
                    "save the file as UTF-8 (in Excel: CSV UTF-8)"
                ),
            ),
            (
                'id,prompt\n1,"a\n2,b\n',
                (
                    "f.csv:2:prompt: the quotes do not match, "
                    'close them, and write a quote in a text as ""'
                ),
            ),
            (
                'id,prompt\n1,"a" b\n2,c\n',
                (
                    "f.csv:2:prompt: the quotes do not match, "
                    'close them, and write a quote in a text as ""'
                ),
            ),
            (
                f"id,prompt\n1,{'a' * 140_000}\n2,b\n",
                "f.csv:2:prompt: a cell has more than 131072 characters, shorten it",
            ),
            (
                f"id,prompt\n1,{'a' * 70_000}\n2,b\n",
                "f.csv:2:-: the row has 70001 bytes, keep to 60000",
            ),
            (
                b"PK\x03\x04" + bytes(1000),
                (
                    "f.csv:1:-: the file is no text but a workbook or an archive "
                    "(Excel, Numbers, ZIP), export it as CSV in UTF-8"
                ),
            ),
            (
                bytes(range(256)),
                "f.csv:1:-: the file is binary and no text, export it as CSV in UTF-8",
            ),
            (
                "id,prompt\n1,a\n".encode("utf-16"),
                (
                    "f.csv:1:-: the file is UTF-16 and not UTF-8, "
                    "save the file as UTF-8 (in Excel: CSV UTF-8)"
                ),
            ),
            (
                "id,prompt\n1," + "a" * 1_100_000,
                (
                    "f.csv:1:-: a line has more than 1000000 characters, "
                    "is it a text file? Export it as CSV"
                ),
            ),
        ],
    )
    def test_what_is_wrong_is_said(
        self, tmp_path: Path, content: str | bytes, expected: str
    ) -> None:
        assert lines(write(tmp_path / "f.csv", content)) == [expected]

    def test_an_open_quote_hides_no_row(self, tmp_path: Path) -> None:
        text = 'id,prompt\n1,"a\n2,b\n3,"c"\n4,\xff\n5,d,e\n'
        path = write(tmp_path / "f.csv", text.encode("latin-1"))
        checked = check_file(path, ())
        assert [(p.row, p.column) for p in checked.problems] == [
            (2, "prompt"),
            (5, "prompt"),
            (6, ""),
        ]
        assert checked.source is not None
        assert [number for number, _ in checked.source.rows()] == [3, 4, 5, 6]

    def test_a_thousand_problems_are_a_thousand_lines(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.csv", b"id,prompt\n" + b"1,\xff\n" * 1000)
        assert [line.split(":")[1] for line in lines(path)] == [str(n) for n in range(2, 1002)]

    def test_memory_does_not_grow_with_the_file(self, tmp_path: Path) -> None:
        path = tmp_path / "f.csv"
        path.write_text("id,prompt\n" + "".join(f"{n},{'a' * 500}\n" for n in range(20_000)))
        tracemalloc.start()
        assert check_file(path, ()).rows == 20_000
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 2_000_000 < path.stat().st_size


class TestJsonLines:
    def test_values_become_text(self, tmp_path: Path) -> None:
        values = {"prompt": "a\n猫", "frames": 66, "x": None, "y": True, "z": 1.5, "n": {"a": [1]}}
        path = write(tmp_path / "f.jsonl", json.dumps(values) + "\n\n" + '{"prompt":"b"}')
        texts = {"prompt": "a\n猫", "frames": "66", "y": "true", "z": "1.5", "n": '{"a": [1]}'}
        assert rows(path) == ([], [(1, texts), (3, {"prompt": "b"})])

    @pytest.mark.parametrize(
        ("line", "expected"),
        [
            (
                "[1]",
                'the line is no JSON object, write one such as {"prompt": "A cat"}',
            ),
            (
                '{"prompt": ',
                (
                    "this is no JSON: Expecting value (character 11), "
                    "mend it or write it with a program"
                ),
            ),
            ('{"a": 1, "a": 2}', '"a" is given twice, remove one of them'),
            ('{"a": NaN}', "NaN is no number in JSON, write a number or null"),
            ('{"a": ' + "9" * 5000 + "}", "a number has too many digits, write a shorter one"),
            ("[" * 100_000, "the values are nested too deeply, use plain values"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, line: str, expected: str) -> None:
        path = write(tmp_path / "f.jsonl", '{"prompt": "a"}\n' + line + "\n")
        assert lines(path) == [f"f.jsonl:2:-: {expected}"]

    def test_half_a_character_and_broken_bytes(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.jsonl", b'{"prompt": "\\ud83d"}\n{"prompt": "\xe9"}\n')
        remedy = "save the file as UTF-8 (in Excel: CSV UTF-8)"
        assert lines(path) == [
            f"f.jsonl:1:prompt: half a character (\\ud83d), {remedy}",
            f"f.jsonl:2:prompt: the byte 0xE9 is not UTF-8, {remedy}",
        ]


class TestDocuments:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("f.yaml", "- {prompt: a, seed: 0123, on: yes}\n- prompt: b\n  steps: [2, 2, 2]\n"),
            (
                "f.yml",
                "clips:\n- {prompt: a, seed: 0123, on: yes}\n- prompt: b\n  steps: [2, 2, 2]\n",
            ),
            (
                "f.json",
                '[{"prompt": "a", "seed": "0123", "on": "yes"}, {"prompt":"b","steps":[2,2,2]}]',
            ),
        ],
    )
    def test_a_list_of_clips(self, tmp_path: Path, name: str, text: str) -> None:
        assert rows(write(tmp_path / name, text))[1] == [
            (1, {"prompt": "a", "seed": "0123", "on": "yes"}),
            (2, {"prompt": "b", "steps": "[2, 2, 2]"}),
        ]

    def test_defaults_are_for_all_clips(self, tmp_path: Path) -> None:
        text = "defaults: {frames: 66, fps: 16}\nclips:\n- {prompt: a}\n- {prompt: b, fps: 24}\n"
        assert rows(write(tmp_path / "f.yaml", text))[1] == [
            (1, {"prompt": "a", "frames": "66", "fps": "16"}),
            (2, {"prompt": "b", "frames": "66", "fps": "24"}),
        ]

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("- a\n", "f.yaml:1:-: the clip is no mapping, write it as name: value"),
            (
                "prompt: a\n",
                (
                    'f.yaml:1:-: "prompt" is no part of it, write a list of clips, '
                    "or defaults: and clips: (also batch:, templates:, variables: and wedge:)"
                ),
            ),
            (
                "just text\n",
                (
                    "f.yaml:1:-: this is no list of clips, write a list of clips, "
                    "or defaults: and clips:"
                ),
            ),
            (
                "- &a {prompt: x}\n- *a\n",
                "f.yaml:1:-: line 2 has a reference (*name), write the value out",
            ),
            (
                "- {prompt: a, prompt: b}\n",
                'f.yaml:1:-: "prompt" is given twice (line 1), remove one of them',
            ),
            ("[" * 3000, "f.yaml:1:-: the values are nested too deeply, use plain values"),
            ("- {[a]: b}\n", "f.yaml:1:-: line 1 has a key that is no word, use a word"),
            ("[]\n", "f.yaml:0:-: there are no clips, add a row for each clip"),
            ("- prompt: caf\udce9\n", "f.yaml:1:-: line 1 is not UTF-8, save the file as UTF-8"),
        ],
    )
    def test_what_is_wrong_is_said(self, tmp_path: Path, text: str, expected: str) -> None:
        path = write(tmp_path / "f.yaml", text.encode("utf-8", "surrogateescape"))
        assert lines(path) == [expected]

    def test_broken_yaml_names_the_line(self, tmp_path: Path) -> None:
        (line,) = lines(write(tmp_path / "f.yaml", "- prompt: a\n- prompt: [b\n"))
        assert line.startswith("f.yaml:1:-: this is no YAML: line 3: ")
        assert line.endswith(", mend it")


class TestNoFile:
    def test_what_is_no_file_of_ours(self, tmp_path: Path) -> None:
        (tmp_path / "d.csv").mkdir()
        write(tmp_path / "f.xls", "id,prompt\n")
        write(tmp_path / "f", "id,prompt\n")
        use = "use .csv, .tsv, .jsonl, .yaml or .json"
        assert [lines(tmp_path / name) for name in ("no.csv", "d.csv", "f.xls", "f")] == [
            ["no.csv:1:-: there is no such file, check its name"],
            ["d.csv:1:-: this is a directory, name a file in it"],
            [f"f.xls:1:-: .xls is no kind of file that the farm reads, {use}"],
            [f"f:1:-: no ending is no kind of file that the farm reads, {use}"],
        ]

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
    def test_a_file_that_may_not_be_read(self, tmp_path: Path) -> None:
        path = write(tmp_path / "f.csv", "prompt\na\n")
        path.chmod(0)
        assert lines(path) == ["f.csv:1:-: it may not be read, give yourself the permission to"]


class TestMerging:
    def test_both_lists_become_one_in_the_order_of_the_file(self) -> None:
        ours = [Problem(3, "prompt", "broken", "mend it"), Problem(5, "", "too long", "cut it")]
        farms = [
            pb.Problem(row=0, column="--set x", what="a"),
            pb.Problem(row=3, column="frames", what="b"),
            pb.Problem(row=3, column="id", what="c"),
            pb.Problem(row=4, column="id", what="d"),
            pb.Problem(row=0, what="7 more"),
        ]
        found = merge(ours, farms, ["id", "prompt", "frames"])
        assert [(p.row, p.column) for p in found] == [
            (0, "--set x"),
            (3, "id"),
            (3, "prompt"),
            (3, "frames"),
            (4, "id"),
            (5, ""),
            (0, ""),
        ]
