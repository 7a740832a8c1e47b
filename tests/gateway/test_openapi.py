"""The OpenAPI document is what the .proto files say, and the gateway does what the document says.

`HELIOSTAT_API_EXAMPLES` is how many requests schemathesis makes up for each call, phase by phase.
"""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Iterator
from inspect import iscoroutinefunction
from typing import Any

import hypothesis
import pytest
import schemathesis
import urllib3
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi import checks

from farm.gateway.batches import BatchService
from farm.gateway.fleet import FleetService
from farm.gateway.json_api import SERVICES, path_of
from farm.gateway.json_bodies import NDJSON
from farm.gateway.pages import OPENAPI
from heliostat.v1 import node_service_pb2
from tests.client.conftest import RunningFarm
from tests.fixtures.gateway import TOKEN
from tools import openapi

DOCUMENT = json.loads(OPENAPI.read_text(encoding="utf-8"))
EXAMPLES = int(os.environ.get("HELIOSTAT_API_EXAMPLES", "12"))
SEED = int(os.environ.get("HELIOSTAT_API_SEED", "1"))
SERVICERS: dict[str, type] = {"BatchService": BatchService, "FleetService": FleetService}

# What a schema cannot say: that a batch of this name is there, and that 1 is taken for "1".
NOT_CHECKED = [checks.positive_data_acceptance, checks.negative_data_rejection]


def written() -> dict[str, Any]:
    """The document without Watch, which has no end, and what is UNIMPLEMENTED as yet."""
    document = copy.deepcopy(DOCUMENT)
    for service in SERVICES:
        for method in service.methods:
            handler = getattr(SERVICERS[service.name], method.name)
            if not iscoroutinefunction(handler):
                del document["paths"][path_of(method)]
    # OpenAPI 3.1 has no words for lines; tests/gateway/test_json.py has their faults.
    del document["paths"]["/v1/BatchService/Submit"]["post"]["requestBody"]["content"][NDJSON]
    # A deadline of a second may pass on a busy machine, which is no fault.
    document["components"]["parameters"]["timeout"]["schema"]["minimum"] = 30
    return document


schema = schemathesis.openapi.from_dict(written(), config=SchemathesisConfig(seed=SEED))


@schema.hook
def map_body(_context: Any, body: Any) -> Any:
    """Of the requests for a batch, let those with an even number of fields be for one that is."""
    if not isinstance(body, dict) or "batchId" not in body or len(body) % 2:
        return body
    return {**body, "batchId": "shots"}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFarm]:
    """A farm with a batch `shots`."""
    running = RunningFarm(tmp_path_factory.mktemp("farm"))
    try:
        running.run(running.rig.submit("a fox", "a crow", first_look=True))
        yield running
    finally:
        running.close()


@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)
def test_no_request_makes_it_fail_and_every_answer_is_as_the_document_says(
    case: schemathesis.Case, served: RunningFarm
) -> None:
    case.call_and_validate(
        base_url=f"http://127.0.0.1:{served.rig.gateway.http_port}",
        headers={"Authorization": f"Bearer {TOKEN}"},
        excluded_checks=NOT_CHECKED,
        timeout=180,
    )


def test_the_document_is_what_the_proto_files_say() -> None:
    assert OPENAPI.read_text(encoding="utf-8") == openapi.text(), "run `make proto`"


def test_every_call_is_in_it_and_none_of_nodes() -> None:
    paths = {path_of(method) for service in SERVICES for method in service.methods}
    assert set(DOCUMENT["paths"]) == paths
    (of_nodes,) = node_service_pb2.DESCRIPTOR.services_by_name
    assert of_nodes not in OPENAPI.read_text(encoding="utf-8")


def test_every_field_and_value_of_a_call_is_in_it() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    for service in SERVICES:
        for method in service.methods:
            answer = schemas[method.output_type.name] if not method.server_streaming else {}
            if answer:
                assert set(answer["properties"]) == {f.json_name for f in method.output_type.fields}
    assert "CLIP_STATE_HELD" in schemas["ClipState"]["enum"]
    assert schemas["Clip"]["properties"]["chunksDone"]["maximum"] == 2**32 - 1
    assert schemas["Batch"]["properties"]["frames"]["type"] == "string"


def test_comments_of_the_proto_files_are_its_descriptions() -> None:
    operation = DOCUMENT["paths"]["/v1/BatchService/Retry"]["post"]
    assert operation["description"] == (
        "Puts failed or cancelled clips back into the queue; they go on from their checkpoints."
    )
    clip = DOCUMENT["components"]["schemas"]["Clip"]
    assert clip["description"] == "A clip as clients see it."
    assert clip["properties"]["version"]["description"] == "1 is v001."


def test_it_is_served_to_anybody(served: RunningFarm) -> None:
    url = f"http://127.0.0.1:{served.rig.gateway.http_port}/v1/openapi.json"
    answer = urllib3.request("GET", url, retries=False)
    assert (answer.status, answer.json()) == (200, DOCUMENT)
