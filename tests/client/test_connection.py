"""What a client's channel is told: which calls it may try again."""

from __future__ import annotations

import json

import pytest

from farm.client.connection import _RETRIED, _service_config
from heliostat.v1 import batch_service_pb2, fleet_service_pb2

SERVICES = (
    *batch_service_pb2.DESCRIPTOR.services_by_name.values(),
    *fleet_service_pb2.DESCRIPTOR.services_by_name.values(),
)


@pytest.mark.parametrize("service", SERVICES, ids=lambda service: service.name)
def test_every_call_that_is_no_stream_is_tried_again(service) -> None:
    """All of them are idempotent: they read, or carry a request_id."""
    unary = {m.name for m in service.methods if not (m.client_streaming or m.server_streaming)}
    assert set(dict(_RETRIED)[service.name]) == unary


def test_only_what_is_away_is_tried_again() -> None:
    (config,) = json.loads(_service_config())["methodConfig"]
    assert config["retryPolicy"]["retryableStatusCodes"] == ["UNAVAILABLE"]
    assert {name["service"] for name in config["name"]} == {each.full_name for each in SERVICES}


def test_every_call_that_changes_something_has_a_request_id() -> None:
    """By it the second copy of a call that was tried again changes nothing."""
    reads = ("Get", "List", "Read", "Why", "Estimate", "Watch", "PrepareInputs", "Submit")
    for service in SERVICES:
        for method in service.methods:
            if not method.name.startswith(reads):
                assert "request_id" in method.input_type.fields_by_name, method.full_name
