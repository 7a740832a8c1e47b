"""Whatever is in a file, checking it ends in clips or problems: no traceback, bounded memory."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from farm.client.errors import Refused
from farm.client.local_check import check_alone
from farm.domain.columns import FIELDS
from tools.fuzz_batches import KINDS, Target

WORDS = st.sampled_from(
    ["1", "2,2,2", "a {x}", "{", "1..4", "seed=1..3", "none", "../a", "CON", "", "猫", "yes", "5s",
     "640x384", "wide", "2: b | 3: c", "[", "{}", "draft", "\x00", "\ud83d", "1e9", "9" * 30]
)  # fmt: skip
TEXTS = WORDS | st.text(max_size=30)
KEYS = st.sampled_from(
    [*FIELDS, "template", "wedge", "wedge_of", "Prompt", "promt", "shot", "name", "budget", "needs",
     "order", "deadline", "output", "webhook", "money", "vram"]
) | st.text(max_size=8)  # fmt: skip
VALUES = st.recursive(
    TEXTS | st.integers() | st.booleans() | st.none() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=6,
)
CLIPS = st.lists(st.dictionaries(KEYS, VALUES, max_size=6), max_size=4)
PARTS = st.fixed_dictionaries(
    {},
    optional={
        "batch": st.dictionaries(KEYS, VALUES, max_size=6) | VALUES,
        "defaults": st.dictionaries(KEYS, VALUES, max_size=4) | VALUES,
        "templates": st.dictionaries(TEXTS, st.dictionaries(KEYS, VALUES, max_size=3), max_size=2),
        "variables": st.dictionaries(KEYS, TEXTS, max_size=3) | VALUES,
        "wedge": st.dictionaries(KEYS, st.lists(TEXTS, max_size=3), max_size=3) | TEXTS,
    },
)
ASKED = st.fixed_dictionaries(
    {
        "set_fields": st.dictionaries(KEYS, TEXTS, max_size=2),
        "column_map": st.dictionaries(KEYS, KEYS, max_size=2),
        "wedge": st.lists(TEXTS, max_size=2),
        "fill": st.booleans(),
    }
)
MANY = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def check(kind: str, data: bytes, asked: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / f"f.{kind}"
        file.write_bytes(data)
        problems = None
        try:
            check_alone(file, asked)
        except Refused as refused:
            problems = refused.problems
        assert problems is None or problems
        assert all(each.row >= 0 and each.what and each.remedy for each in problems or ())


@MANY
@given(st.integers(0, 3), st.integers(0, 255), st.binary(max_size=400) | st.text().map(str.encode))
def test_bytes(kind: int, bits: int, data: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Target(Path(directory))(bytes([kind, bits]) + data)


@MANY
@given(st.sampled_from(["json", "yaml"]), PARTS, CLIPS, ASKED)
def test_documents(kind: str, parts: Any, clips: Any, asked: dict[str, Any]) -> None:
    document = {**parts, "clips": clips} if parts else clips
    dump = json.dumps if kind == "json" else yaml.safe_dump
    text = dump(document)
    check(kind, text.encode("utf-8", "surrogatepass"), asked)


@MANY
@given(PARTS, CLIPS, ASKED)
def test_json_lines(parts: Any, clips: Any, asked: dict[str, Any]) -> None:
    lines = [json.dumps(each) for each in ([parts, *clips] if parts else clips)]
    check("jsonl", "\n".join(lines).encode(), asked)


@MANY
@given(st.lists(KEYS, max_size=8), st.lists(st.lists(TEXTS, max_size=9), max_size=5), ASKED)
def test_csv(header: list[str], rows: list[list[str]], asked: dict[str, Any]) -> None:
    quoted = [",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in rows]
    text = "\n".join([",".join(header), *quoted])
    check("csv", text.encode("utf-8", "replace"), asked)


def test_every_kind_is_fuzzed() -> None:
    assert set(KINDS) == {"csv", "jsonl", "yaml", "json"}


def peak(file: Path) -> int:
    tracemalloc.start()
    try:
        check_alone(file, {"set_fields": {}, "column_map": {}})
    except Refused:
        pass
    finally:
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    return found


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("lines.csv", "id,prompt\n1,\"" + "a b c d e f g\n" * 20_000),
        ("one.csv", "id,prompt\n1,\"" + "a" * 2_000_000),
        ("header.csv", ",".join(f"c{n}" for n in range(15_000)) + "\n1\n"),
        ("line.jsonl", '{"prompt": "' + "a" * 2_000_000),
        ("keys.jsonl", "{" + ",".join(f'"{n}":1' for n in range(20_000)) + ',"1":1}\n'),
    ],
)  # fmt: skip
def test_a_file_that_is_too_much_is_refused_in_bounded_memory(
    tmp_path: Path, name: str, text: str
) -> None:
    file = tmp_path / name
    file.write_text(text)
    assert peak(file) < 60_000_000


def test_a_document_of_too_many_values_is_refused_before_it_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("farm.client.yaml_file._VALUES_MAX", 1000)
    file = tmp_path / "f.yaml"
    file.write_text("- {prompt: a}\n" * 300)
    with pytest.raises(Refused) as refused:
        check_alone(file, {"set_fields": {}, "column_map": {}})
    assert refused.value.problems[0].what == "more than 1000 values"
