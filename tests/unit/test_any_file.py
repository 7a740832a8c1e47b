"""No content of a file is a traceback, and what a spreadsheet writes is what is read."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.cli.output import problem_line
from farm.client.submission import check_file
from heliostat.v1 import batch_service_pb2 as pb


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


_HARMLESS = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
_PIECES = st.lists(
    st.sampled_from(
        [
            "id",
            "prompt",
            ",",
            ";",
            "\t",
            "\n",
            "\r\n",
            '"',
            '""',
            "a",
            " ",
            "é",
            "\x00",
            "�",
            "{",
            "}",
            "[",
            "]",
            ":",
            "- ",
            "null",
            "1e999",
            "\\ud800",
            "&a",
            "*a",
            "<<",
            "?",
            "\ufeff",
        ]
    ),
    max_size=60,
).map(lambda pieces: "".join(pieces).encode("utf-8", "surrogateescape"))


@pytest.mark.parametrize("ending", ["csv", "tsv", "jsonl", "yaml", "json"])
@_HARMLESS
@given(content=st.one_of(st.binary(max_size=300), _PIECES, st.text(max_size=200).map(str.encode)))
def test_no_content_is_a_traceback(scratch: Path, ending: str, content: bytes) -> None:
    path = scratch / f"f.{ending}"
    path.write_bytes(content)
    checked = check_file(path, ())
    for problem in checked.problems:
        assert "\n" not in problem_line(path.name, problem)
        assert problem.what
        assert problem.remedy
    if checked.source is None or not checked.rows:
        assert checked.problems
        return
    again = list(checked.source.rows())
    assert len(again) == checked.rows
    # What is sent can be sent.
    assert pb.RowBlock(
        rows=[pb.Row(number=number, fields=cells) for number, cells in again]
    ).SerializeToString()


@_HARMLESS
@given(
    table=st.lists(
        st.lists(
            st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=20),
            min_size=3,
            max_size=3,
        ),
        min_size=1,
        max_size=10,
    ),
    delimiter=st.sampled_from([",", ";", "\t"]),
)
def test_what_a_spreadsheet_writes_is_what_is_read(
    scratch: Path, table: list[list[str]], delimiter: str
) -> None:
    path = scratch / "table.csv"
    header = ["id", "prompt", "note"]
    with path.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream, delimiter=delimiter).writerows([header, *table])
    found = check_file(path, ())
    assert found.source is not None
    expected = [
        (number, {name: cell for name, cell in zip(header, cells, strict=True) if cell})
        for number, cells in enumerate(table, 2)
        if any(cell.strip() for cell in cells)
    ]
    assert [row for row in found.source.rows() if any(map(str.strip, row[1].values()))] == expected
    assert not found.source.problems
