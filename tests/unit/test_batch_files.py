"""What a file says beside its clips: the batch, defaults, templates, variables and wedges."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from farm.client import submission
from farm.client.prepare import Prepared, prepare
from farm.client.submission import Planned, SubmitOptions
from farm.domain.values import Limits
from heliostat.v1 import types_pb2 as types

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


def prepared(path: Path, text: str, **given: Any) -> Prepared:
    path.write_text(text)
    return prepare(path, SubmitOptions(request_id="r", **given), NOW)


def rows(path: Path, text: str, **given: Any) -> list[dict[str, str]]:
    found = prepared(path, text, **given)
    assert not found.problems
    assert found.source is not None
    return [cells for _, cells in found.source.rows()]


def problems(path: Path, text: str, **given: Any) -> list[str]:
    found = prepared(path, text, **given).problems
    return [f"{p.row}:{p.column}: {p.what}, {p.remedy}" for p in found]


BATCH = """
batch:
  name: night
  project: show
  priority: -5
  deadline: +8h
  quality: draft
  first_look: yes
  order: every:5
  pause_after: 3
  after: [plates, mattes]
  limits: nuke
  needs: {card_type: [h100, rtx-4090], vram: 16G, tag: fast}
  budget: {money: 20, kwh: 1.5}
  output: "{shot}_v{version:03}"
  webhook: https://example.com/hook
  look: warm
  deliver_to: show:/dailies
  fresh: no
clips:
  - {prompt: a, shot: "1"}
"""


class TestBatch:
    def test_a_file_says_what_options_say(self, tmp_path: Path) -> None:
        found = prepared(tmp_path / "f.yaml", BATCH)
        assert not found.problems
        assert (found.options.name, found.options.project) == ("night", "show")
        assert found.options.priority == -5
        assert found.options.planned == Planned(
            deadline=datetime(2026, 11, 30, 20, tzinfo=UTC),
            first_look=True,
            every=5,
            failures_max=3,
            after=("plates", "mattes"),
            limits=("nuke",),
            needs=types.Needs(
                card_types=["h100", "rtx-4090"], vram_bytes=16 * 10**9, tags=["fast"]
            ),
            budget=types.Budget(money=20, kilowatt_hours=1.5),
            output="{shot}_v{version:03}",
            webhook="https://example.com/hook",
            look="warm",
            deliver_to="show:/dailies",
        )
        assert found.source is not None
        assert list(found.source.rows()) == [(1, {"prompt": "a", "shot": "1", "quality": "draft"})]

    def test_what_is_given_goes_before_the_file(self, tmp_path: Path) -> None:
        given = Planned(output="{id}_v{version}", every=0)
        found = prepared(tmp_path / "f.yaml", BATCH, name="day", priority=0, planned=given)
        assert (found.options.name, found.options.project) == ("day", "show")
        assert (found.options.priority, found.options.planned.every) == (0, 0)
        assert found.options.planned.output == "{id}_v{version}"
        assert found.options.planned.look == "warm"

    def test_json_lines_may_begin_with_it(self, tmp_path: Path) -> None:
        head = {"batch": {"name": "n", "budget": {"hours": 2}}, "defaults": {"frames": 66}}
        text = f"{json.dumps(head)}\n" + '{"prompt": "a"}\n{"prompt": "b", "frames": 33}\n'
        found = prepared(tmp_path / "f.jsonl", text)
        assert found.options.name == "n"
        assert found.options.planned.budget == types.Budget(hours=2)
        assert found.source is not None
        assert list(found.source.rows()) == [
            (2, {"frames": "66", "prompt": "a"}),
            (3, {"frames": "33", "prompt": "b"}),
        ]

    def test_everything_wrong_with_it_is_said_at_once(self, tmp_path: Path) -> None:
        text = """
batch: {nmae: x, priority: high, deadline: soon, order: fast, needs: {gpu: a},
        budget: {euros: 3}, first_look: maybe, quality: best}
clips: [{prompt: a}]
"""
        assert [line.partition(",")[0] for line in problems(tmp_path / "f.yaml", text)] == [
            '0:batch.nmae: there is no "nmae"',
            '0:batch.priority: "high" is not a whole number',
            "0:batch.deadline: 'soon' is no deadline",
            '0:batch.order: "fast" is no order',
            '0:batch.needs: there is no "gpu"',
            '0:batch.budget: there is no "euros"',
            '0:batch.first_look: "maybe" is neither yes nor no',
            '0:batch.quality: "best" is no quality',
        ]


class TestTemplatesAndVariables:
    TEXT = """
variables: {style: "noir {film}", animal: cat}
templates:
  wide: {frames: 66, prompt: "A {Animal} in {style} {{x}}"}
defaults: {frames: 33, fps: 16}
clips:
  - {id: a, template: wide}
  - {id: b, template: wide, Animal: fox, Frames: 99, fps: null}
"""

    def test_own_fields_win_over_the_template_and_that_over_defaults(self, tmp_path: Path) -> None:
        assert rows(tmp_path / "f.yaml", self.TEXT) == [
            {"id": "a", "frames": "66", "fps": "16", "prompt": "A cat in noir {film} {x}"},
            {"id": "b", "Frames": "99", "Animal": "fox", "prompt": "A fox in noir {film} {x}"},
        ]

    def test_braces_stay_where_nobody_asked_for_variables(self, tmp_path: Path) -> None:
        text = "id,prompt,template\n1,a {b} {,x\n"
        assert rows(tmp_path / "f.csv", text) == [{"id": "1", "prompt": "a {b} {", "template": "x"}]

    def test_csv_is_filled_from_its_columns_where_asked(self, tmp_path: Path) -> None:
        text = "id,Text,schedule,Big Cat\n1,a {big cat},2: {big_cat} {seed},lynx\n"
        given = {"fill": True, "column_map": {"text": "prompt"}, "set_fields": {"seed": "7"}}
        (row,) = rows(tmp_path / "f.csv", text, **given)
        assert (row["Text"], row["schedule"]) == ("a lynx", "2: lynx 7")

    def test_only_prompts_of_a_listed_schedule_are_filled(self, tmp_path: Path) -> None:
        text = (
            "variables: {x: 1}\n"
            "clips: [{prompt: a, schedule: [{at: 2, prompt: '{x}{{', blend_chunks: 1}]}]\n"
        )
        (row,) = rows(tmp_path / "f.yaml", text)
        assert json.loads(row["schedule"]) == [{"at": "2", "prompt": "1{", "blend_chunks": "1"}]

    @pytest.mark.parametrize(
        ("clip", "expected"),
        [
            (
                "{prompt: 'a {anmal}', shot: 1}",
                (
                    '1:prompt: there is no variable "anmal", did you mean {animal}? '
                    "the row has animal, shot; write {{ for a brace"
                ),
            ),
            ("{prompt: 'a {'}", "1:prompt: a { stands alone, write {name}, or {{ for a brace"),
            (
                "{prompt: a, template: wid}",
                '1:template: there is no template "wid", did you mean "wide"? there are wide',
            ),
        ],
    )
    def test_what_is_unknown_is_said_with_what_there_is(
        self, tmp_path: Path, clip: str, expected: str
    ) -> None:
        text = f"templates: {{wide: {{fps: 16}}}}\nvariables: {{animal: cat}}\nclips: [{clip}]\n"
        assert problems(tmp_path / "f.yaml", text) == [expected]

    def test_a_bomb_of_variables_is_refused(self, tmp_path: Path) -> None:
        text = f"variables: {{x: {'y' * 9000}}}\nclips: [{{prompt: '{'{x}' * 5000}'}}]\n"
        (line,) = problems(tmp_path / "f.yaml", text)
        assert "its variables make it longer than 60000 characters" in line


class TestWedges:
    def test_a_column_of_csv_makes_a_clip_for_each_cell(self, tmp_path: Path) -> None:
        text = 'id,prompt,Seed,wedge\na,x,9,"seed=1,2; steps=3"\nb,y,5,\n'
        assert rows(tmp_path / "f.csv", text) == [
            {"id": "a.seed1-steps3", "prompt": "x", "Seed": "1", "steps": "3",
             "wedge": "seed=1 steps=3", "wedge_of": "a"},
            {"id": "a.seed2-steps3", "prompt": "x", "Seed": "2", "steps": "3",
             "wedge": "seed=2 steps=3", "wedge_of": "a"},
            {"id": "b", "prompt": "y", "Seed": "5"},
        ]  # fmt: skip

    def test_rows_without_ids_are_called_by_their_places(self, tmp_path: Path) -> None:
        found = prepared(tmp_path / "f.csv", "prompt\nx\ny\n", wedge=["seed=1..2"])
        assert found.source is not None
        assert [(n, row["id"]) for n, row in found.source.rows()] == [
            (2, "00001.seed1"),
            (2, "00001.seed2"),
            (3, "00002.seed1"),
            (3, "00002.seed2"),
        ]
        assert list(found.source.columns) == ["prompt", "id", "seed", "wedge", "wedge_of"]
        assert found.rows == 4

    def test_flags_go_before_a_row_and_a_row_before_the_file(self, tmp_path: Path) -> None:
        text = """
wedge: {seed: 1..3, fps: 16, frames: 33}
clips:
  - {id: a, prompt: x, wedge: {seed: [8, 9], fps: [12]}}
  - {id: b, prompt: x, wedge: none}
"""
        found = rows(tmp_path / "f.yaml", text, wedge=["seed=4"])
        assert [row.get("wedge") for row in found] == ["seed=4 fps=12 frames=33", None]

    def test_an_axis_may_be_a_variable(self, tmp_path: Path) -> None:
        text = "prompt\nA {animal}\n"
        found = rows(tmp_path / "f.csv", text, wedge=["animal=fox,owl"], fill=True)
        assert [row["prompt"] for row in found] == ["A fox", "A owl"]

    def test_what_is_the_same_for_all_is_no_axis(self, tmp_path: Path) -> None:
        given = {"wedge": ["seed=1..2"], "set_fields": {"Seed": "4"}}
        assert problems(tmp_path / "f.csv", "prompt\nx\n", **given) == [
            (
                '2:--wedge: "seed" is the same for all by --set and an axis of a wedge, '
                "keep one of them"
            )
        ]

    def test_a_wedge_of_ones_own_stays_as_it_is(self, tmp_path: Path) -> None:
        text = "id,prompt,wedge\n1,x,door stop\n"
        assert problems(tmp_path / "f.csv", text) == [
            '2:wedge: "door stop" is no axis of a wedge, write seed=1..4; guidance_scale=4,5'
        ]
        (row,) = rows(tmp_path / "f.csv", text, column_map={"wedge": "wedge"})
        assert row == {"id": "1", "prompt": "x", "wedge": "door stop"}

    def test_too_many_clips_end_the_reading(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(submission, "Limits", lambda: Limits(clips_max=100))
        text = "prompt\n" + "x\n" * 5
        (line,) = problems(tmp_path / "f.csv", text, wedge=["seed=1..40"])
        assert line == "4:: more than 100 clips, split the file into several batches"
