"""A bill of materials is valid CycloneDX, complete, and the same each time."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from farm import __version__
from tools.release.parts import RELEASED, REQUIREMENTS, Library, Part, facts, locked, parts_of
from tools.release.sbom import bill, source_date

MOMENT = datetime(2026, 11, 30, tzinfo=UTC)


@pytest.mark.parametrize("released", RELEASED)
def test_every_locked_distribution_is_in_it_with_its_hashes_and_licence(released: str):
    said = json.loads(bill(released, parts_of(released, facts()), MOMENT))
    assert (said["bomFormat"], said["specVersion"]) == ("CycloneDX", "1.6")
    assert said["metadata"]["component"]["version"] == __version__
    components = {each["purl"]: each for each in said["components"]}
    for name, (version, sha256) in locked(REQUIREMENTS / f"{released}.lock").items():
        component = components[f"pkg:pypi/{name}@{version}"]
        (reference,) = component["externalReferences"]
        assert {each["content"] for each in reference["hashes"]} == set(sha256)
        assert component["licenses"]


def test_what_a_wheel_bundles_is_within_its_component():
    library = Library(name="libpq", licence="PostgreSQL")
    part = Part(name="p", version="1", licence="LGPL-3.0-only", texts=("L",), libraries=(library,))
    (component,) = json.loads(bill("client", [part], MOMENT))["components"]
    assert component["licenses"] == [{"license": {"id": "LGPL-3.0-only"}}]
    assert [each["name"] for each in component["components"]] == ["libpq"]
    assert {"name": "heliostat:licence-text", "value": "L"} in component["properties"]


def test_the_same_parts_give_the_same_bytes():
    parts = parts_of("client", facts())
    assert bill("client", parts, MOMENT) == bill("client", parts, MOMENT)
    assert bill("client", parts[1:], MOMENT) != bill("client", parts, MOMENT)


def test_its_time_is_the_sources(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert source_date() == datetime(1970, 1, 2, tzinfo=UTC)
