"""Clips that wait for others of their file: found by id, in any order, and never in a circle."""

from __future__ import annotations

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from farm.domain.dependencies import circles
from farm.domain.rows import Limits, RowChecker
from farm.domain.spec import NewClip, Problem


def check(*rows: dict[str, str], **options) -> tuple[RowChecker, list[NewClip]]:
    columns = dict.fromkeys(column for row in rows for column in row)
    checker = RowChecker(batch_name="b", columns=list(columns), **options)
    clips = checker.check(
        (n, {column: text for column, text in row.items() if text}) for n, row in enumerate(rows, 2)
    )
    checker.finish()
    return checker, clips


def row(name: str, after: str = "", **more: str) -> dict[str, str]:
    return {"id": name, "prompt": "p", "after": after, **more}


def pairs(checker: RowChecker) -> list[tuple[int, int]]:
    return [pair for block in checker.dependencies(3) for pair in block]


def problems(*rows: dict[str, str], **options) -> list[Problem]:
    return check(*rows, **options)[0].problems


class TestWhatARowSays:
    def test_ids_of_rows_before_and_behind_apart_by_commas_or_semicolons(self) -> None:
        checker, clips = check(
            row("a", "c"), row("b", " A ; c,c"), row("c"), row("d", "a,b;c"), row("e")
        )
        assert checker.problems == []
        assert pairs(checker) == [(1, 3), (2, 1), (2, 3), (4, 1), (4, 2), (4, 3)]
        assert [clip.waits for clip in clips] == [True, True, False, True, False]

    def test_others_names_for_it_are_kept_as_own_data_with_a_note(self) -> None:
        checker, (_, clip) = check(
            {"id": "a", "prompt": "p"}, {"id": "b", "prompt": "p", "depends_on": "a"}
        )
        assert (clip.waits, dict(clip.columns)) == (False, {"depends_on": "a"})
        assert [warning.remedy for warning in checker.warnings] == [
            "if it means after, use --map depends_on=after"
        ]

    def test_it_cannot_be_set_for_all(self) -> None:
        (problem,) = problems(row("a"), set_fields={"after": "a"})
        assert (problem.column, problem.remedy) == (
            "--set after=a", "use --after BATCH, or a column",
        )  # fmt: skip


class TestWhatIsRefused:
    @pytest.mark.parametrize(
        ("rows", "expected"),
        [
            (
                [row("a"), row("b", "a, x")],
                [(3, "after", 'no row has the id "x"')],
            ),
            ([row("a", "a")], [(2, "after", "the clip waits for itself")]),
            ([row("a", "A")], [(2, "after", "the clip waits for itself")]),
            ([row("a", ";,")], [(2, "after", '";," names no row')]),
            (
                [row("a", "b"), row("b", "a")],
                [(2, "after", "clips wait for each other: a → b → a")],
            ),
            (
                [row("x", "a"), row("C", "a"), row("a", "b"), row("b", "c"), row("d", "x")],
                [(3, "after", "clips wait for each other: C → a → b → C")],
            ),
        ],
    )
    def test_each_with_its_row_and_column(self, rows, expected) -> None:
        found = problems(*rows)
        assert [(p.row, p.column, p.what) for p in found] == expected
        assert all(p.remedy for p in found)

    def test_the_column_is_the_files_own(self) -> None:
        rows = {"id": "a", "prompt": "p", "waits": "x"}
        (problem,) = problems(rows, column_map={"waits": "after"})
        assert problem.column == "waits"

    def test_a_long_circle_is_cut(self) -> None:
        names = [f"c{n}" for n in range(500)]
        (problem,) = problems(*(row(name, names[n - 1]) for n, name in enumerate(names)))
        assert problem.what.startswith("clips wait for each other: c0 → c499 → c498 → ")
        assert problem.what.endswith(" → c491 → … (500 clips) → c0")

    def test_more_than_the_limit(self) -> None:
        rows = [row("a"), row("b"), row("c", "a,b"), row("d", "a,b")]
        (problem,) = problems(*rows, limits=Limits(dependencies_max=3))
        assert (problem.row, problem.what) == (5, "more than 3 dependencies in one batch")


GRAPHS = st.dictionaries(
    st.integers(1, 12), st.lists(st.integers(1, 12), max_size=4, unique=True), max_size=12
)


@given(GRAPHS)
def test_circles_are_found_where_there_are_any_and_are_circles(graph) -> None:
    found = list(circles(graph))
    for circle in found:
        assert len(set(circle)) == len(circle)
        assert circle[0] == min(circle)
        for one, other in zip(circle, [*circle[1:], circle[0]], strict=True):
            assert other in graph[one]
    assert bool(found) == any(_reaches_itself(graph, node) for node in graph)


def _reaches_itself(graph, start) -> bool:
    seen, ahead = set(), list(graph[start])
    while ahead:
        node = ahead.pop()
        if node == start:
            return True
        if node not in seen:
            seen.add(node)
            ahead += graph.get(node, ())
    return False


def test_a_hundred_thousand_rows_with_dependencies_take_little_memory() -> None:
    checker = RowChecker(batch_name="b", columns=["id", "prompt", "after"])
    tracemalloc.start()
    try:
        for start in range(0, 100_000, 1000):
            # Every row waits for the one behind it, which is the costly order.
            checker.check(
                (n + 2, {"id": f"c{n}", "prompt": "p", "after": f"c{n + 1}" if n < 99_999 else ""})
                for n in range(start, start + 1000)
            )
        checker.finish()
        assert checker.problems == []
        assert sum(map(len, checker.dependencies(10_000))) == 99_999
        assert tracemalloc.get_traced_memory()[1] < 120e6
    finally:
        tracemalloc.stop()
