"""Charts as pages draw them: their geometry and what they say to who cannot see them."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from jinja2 import Environment, PackageLoader

from farm.html.charts import WIDTH, Bar, Series, bars, dots, lines, steps


def drawn(kind: str, chart: object) -> ElementTree.Element:
    environment = Environment(loader=PackageLoader("farm.html", ""), autoescape=True)
    text = "{% import 'charts.html.j2' as charts %}{{ charts." + kind + "(chart) }}"
    return ElementTree.fromstring(environment.from_string(text).render(chart=chart).strip())


def test_the_longest_bar_is_as_wide_as_the_chart_and_others_in_proportion() -> None:
    chart = bars("b", "FPS", [Bar("one", 20.0, "20"), Bar("two", 5.0, "5"), Bar("none", 0, "0")])
    assert [mark.length for mark in chart.marks] == [WIDTH, WIDTH / 4, 0]


def test_dots_are_as_far_apart_as_their_logarithms() -> None:
    chart = dots("d", "cost", [Bar("a", 0.01, ""), Bar("b", 0.1, ""), Bar("c", 10.0, "")])
    one, ten, thousand = (mark.length for mark in chart.marks)
    assert thousand - ten == pytest.approx(2 * (ten - one))
    assert [tick.text for tick in chart.ticks] == ["0.01", "0.1", "1", "10"]


def test_dots_leave_out_what_has_no_logarithm() -> None:
    assert [mark.label for mark in dots("d", "", [Bar("a", 0, ""), Bar("b", 3, "")]).marks] == ["b"]
    assert dots("d", "", [Bar("a", 0, "")]).marks == ()


def test_lines_begin_at_zero_and_end_inside() -> None:
    chart = lines(
        "l", "money", [Series("cloud", [(0, 0), (10, 40)])],
        x_label="clips", x_text=str, y_text=str,
    )  # fmt: skip
    path = chart.lines[0].path.removeprefix("M").split(" L")
    (x0, y0), (x1, y1) = (map(float, point.split()) for point in path)
    assert (x0, y0) == pytest.approx((chart.left, chart.bottom), abs=0.1)
    assert x1 == pytest.approx(chart.right, abs=0.1)
    assert chart.top <= y1 < chart.bottom


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (8.0, [0, 2, 4, 6, 8]),
        (100.0, [0, 25, 50, 75, 100]),
        (0.0018, [0, 0.0005, 0.001, 0.0015, 0.002]),
        (0.0, [0, 1]),
    ],
)
def test_steps_are_round_and_reach_the_largest(most: float, expected: list[float]) -> None:
    assert steps(most) == pytest.approx(expected)


def test_a_chart_says_what_it_shows_and_escapes_it() -> None:
    svg = drawn("bars", bars("b", "A & B", [Bar("<one>", 2.0, "2 FPS")]))
    assert svg.get("role") == "img"
    ids = {element.get("id"): element.text for element in svg if element.get("id")}
    assert ids == {"b-t": "A & B", "b-d": "<one>: 2 FPS"}
    assert svg.get("aria-labelledby") == "b-t b-d"


def test_a_chart_of_lines_has_a_legend() -> None:
    chart = lines("l", "t", [Series("cloud", [(0, 0), (1, 1)])], x_label="", x_text=str, y_text=str)
    texts = [element.text for element in drawn("lines", chart).iter() if element.tag == "text"]
    assert "cloud" in texts
