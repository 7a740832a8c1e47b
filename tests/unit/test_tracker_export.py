"""A tracker's export is taken as it is: one column is the prompt, the others come along."""

from __future__ import annotations

from pathlib import Path

from farm.client.farm import Submitted
from farm.client.local_check import check_alone, checker_of, clips_of
from farm.client.prepare import Prepared, prepare
from farm.client.submission import Planned, SubmitOptions
from farm.domain.values import Limits
from tests.unit.test_batch_files import NOW

EXPORT = Path(__file__).parents[2] / "examples" / "tracker_export.csv"


def checked(**more: object) -> Submitted:
    asked = {"set_fields": {}, "column_map": {"Description": "prompt"}, **more}
    return check_alone(EXPORT, asked)


def test_thirty_columns_are_accepted_with_notes() -> None:
    found = checked()
    assert found.clips == 12
    assert [(note.column, note.what) for note in found.warnings] == [
        ("Frame Rate", '"Frame Rate" is kept as your own data'),
        ("Resolution", '"Resolution" is kept as your own data'),
    ]


def test_its_columns_name_the_files_and_come_with_the_clips() -> None:
    options = SubmitOptions(
        request_id="r",
        project="winter",
        column_map={"Description": "prompt", "shot code": "id", "Cut Duration": "frames"},
        planned=Planned(output="{project}_{sequence}/{id}_{task}_v{version:03}"),
    )
    ready: Prepared = prepare(EXPORT, options, NOW)
    assert ready.source is not None
    assert len(ready.source.columns) == 30
    checker = checker_of(ready, Limits())
    clips = list(clips_of(checker, ready.source.rows()))
    assert not checker.problems
    assert clips[0].file_name == "winter_sq010/fox_sq010_0010_anim_v001"
    assert (clips[0].spec.frames, clips[0].columns["Id"]) == (96, "4210")
    assert clips[0].columns["Frame Range"] == "1001-1096"
