"""The published schema is what the code reads, and what `farm init` writes passes both."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest
import yaml

from farm.client.batch_schema import SCHEMA_NAME, schema, schema_text
from farm.client.batch_section import SECTION_FIELDS
from farm.client.example import EXAMPLE
from farm.client.head import PARTS
from farm.client.local_check import check_alone
from farm.domain.columns import FIELDS
from farm.domain.values import MODES, QUALITIES

ROOT = Path(__file__).parents[2]
VALIDATOR = jsonschema.Draft202012Validator(schema())


def errors(document: object) -> list[str]:
    return [error.message for error in VALIDATOR.iter_errors(document)]


def test_the_published_schema_is_the_code_s() -> None:
    assert (ROOT / "docs" / SCHEMA_NAME).read_text() == schema_text(), (
        "python tools/batch_schema.py"
    )
    jsonschema.Draft202012Validator.check_schema(schema())


def test_it_has_every_field_and_no_other() -> None:
    document = schema()["anyOf"][1]["properties"]
    assert set(document) == {*PARTS, "clips"}
    assert list(document["batch"]["properties"]) == list(SECTION_FIELDS)
    clip = schema()["$defs"]["clip"]["properties"]
    assert set(clip) == {*FIELDS, "template", "wedge"}
    assert (clip["mode"]["enum"], clip["quality"]["enum"]) == (list(MODES), list(QUALITIES))


def test_what_init_writes_passes_the_schema_and_the_check(tmp_path: Path) -> None:
    assert EXAMPLE.startswith(f"# yaml-language-server: $schema={SCHEMA_NAME}\n")
    assert errors(yaml.safe_load(EXAMPLE)) == []
    file = tmp_path / "batch.yaml"
    file.write_text(EXAMPLE)
    assert check_alone(file, {"set_fields": {}, "column_map": {}}).clips == 7


def test_the_examples_pass_it() -> None:
    assert errors(yaml.safe_load((ROOT / "examples" / "modes.yaml").read_text())) == []


@pytest.mark.parametrize(
    "document",
    [
        {"clips": []},
        {"clips": [{"prompt": "a"}], "more": 1},
        {"clips": [{"prompt": "a", "frames": 0}]},
        {"clips": [{"prompt": "a", "quality": "best"}]},
        {"clips": [{"prompt": "a"}], "batch": {"nmae": "x"}},
        {"clips": [{"prompt": "a"}], "batch": {"budget": {"euros": 1}}},
        {"clips": [{"prompt": "a"}], "batch": {"webhook": "ftp://x"}},
        "text",
    ],
)
def test_it_refuses_what_the_farm_refuses(document: object) -> None:
    assert errors(json.loads(json.dumps(document)))
