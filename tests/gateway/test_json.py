"""The API by JSON: the same calls by the same servicers, and what HTTP can get wrong."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from dataclasses import replace
from typing import Any

import pytest
import urllib3
from google.protobuf import json_format

from farm.gateway.json_api import SERVICES
from farm.gateway.settings import Limits
from heliostat.v1 import batch_service_pb2 as batch_pb
from tests.fixtures.gateway import TOKEN, Rig

NDJSON = {"content_type": "application/x-ndjson"}


def body(name: str = "shots", rows: int = 3, **header: Any) -> dict[str, Any]:
    fields = [{"fields": {"id": f"clip{n}", "prompt": f"shot {n}"}} for n in range(rows)]
    return {"header": {"requestId": f"request {name}", "name": name, **header}, "rows": fields}


def lines(name: str = "shots", rows: int = 3) -> bytes:
    whole = body(name, rows)
    parts = [{"header": whole["header"]}, *whole["rows"]]
    return "\n".join(json.dumps(part) for part in parts).encode()


def told(answer: urllib3.BaseHTTPResponse) -> tuple[int, str, str]:
    """HTTP status, reason and text of a call that failed."""
    status = answer.json()
    assert answer.headers["content-type"] == "application/json"
    (info,) = status["details"]
    assert (info["@type"], info["domain"]) == (
        "type.googleapis.com/google.rpc.ErrorInfo",
        "heliostat",
    )
    return answer.status, info["reason"], status["message"]


def events_of(answer: urllib3.BaseHTTPResponse) -> list[dict[str, Any]]:
    return [json.loads(line) for line in answer.data.splitlines() if line]


class TestCalls:
    async def test_both_ways_give_one_answer(self, rig: Rig) -> None:
        await rig.submit("a fox", "a crow")
        by_json = await rig.post("BatchService/ListClips", {"batchId": "shots"})
        by_grpc = await rig.batches.ListClips(batch_pb.ListClipsRequest(batch_id="shots"))
        assert by_json.status == 200
        assert json_format.ParseDict(by_json.json(), batch_pb.ListClipsResponse()) == by_grpc
        assert by_json.json()["clips"][0]["chunksDone"] == 0, "zeros are not left out"

    async def test_names_of_the_proto_files_are_understood_too(self, rig: Rig) -> None:
        await rig.submit("a fox")
        assert (await rig.post("BatchService/Get", {"batch_id": "shots"})).status == 200

    async def test_what_operators_ask(self, rig: Rig) -> None:
        made = await rig.post("FleetService/SetProject", {"requestId": "p", "name": "dune"})
        assert made.json()["project"]["name"] == "dune"
        assert (await rig.post("FleetService/GetFleet", {})).json()["cards"] == 0

    async def test_every_call_but_those_of_nodes_is_there(self, rig: Rig) -> None:
        for service in SERVICES:
            for method in service.methods:
                answer = await rig.post(f"{service.name}/{method.name}", b"[]")
                assert answer.status in (400, 501), method.full_name
        assert told(await rig.post("NodeService/Exchange", {}))[:2] == (404, "NO_SUCH_PATH")


class TestSubmit:
    @pytest.mark.parametrize("as_lines", [False, True])
    async def test_a_batch_comes_in(self, rig: Rig, as_lines: bool) -> None:
        sent, headers = (lines(), NDJSON) if as_lines else (body(), {})
        answer = (await rig.post("BatchService/Submit", sent, **headers)).json()
        assert (answer["clips"], answer["problems"]) == (3, [])
        clips = (await rig.post("BatchService/ListClips", {"batchId": "shots"})).json()["clips"]
        assert [(clip["name"], clip["row"]) for clip in clips] == [
            ("clip0", 1),
            ("clip1", 2),
            ("clip2", 3),
        ]

    async def test_both_forms_and_grpc_are_the_same_request(self, rig: Rig) -> None:
        first = (await rig.post("BatchService/Submit", body())).json()
        again = (await rig.post("BatchService/Submit", lines(), **NDJSON)).json()
        rows = [
            batch_pb.Row(number=n, fields=row["fields"]) for n, row in enumerate(body()["rows"], 1)
        ]
        header = batch_pb.SubmitHeader(request_id="request shots", name="shots")
        parts = [
            batch_pb.SubmitRequest(header=header),
            batch_pb.SubmitRequest(rows=batch_pb.RowBlock(rows=rows)),
        ]
        by_grpc = await rig.batches.Submit(parts)
        assert (first["repeatedRequest"], again["repeatedRequest"]) == (False, True)
        assert by_grpc.repeated_request
        assert by_grpc.batch.batch_id == first["batch"]["batchId"] == again["batch"]["batchId"]

    async def test_problems_are_an_answer(self, rig: Rig) -> None:
        bad = {"header": {"requestId": "r", "name": "b"}, "rows": [{"fields": {"prompt": " "}}]}
        answer = await rig.post("BatchService/Submit", bad)
        assert answer.status == 200
        assert answer.json()["problems"][0]["row"] == 1

    async def test_many_lines_come_in_blocks(self, rig: Rig) -> None:
        answer = (await rig.post("BatchService/Submit", lines(rows=1201), **NDJSON)).json()
        assert answer["clips"] == 1201
        assert rig.link.calls.count("stage") == 3

    async def test_a_client_that_leaves_in_the_middle_leaves_nothing(self, rig: Rig) -> None:
        sent = lines(rows=600)
        head = (
            "POST /v1/BatchService/Submit HTTP/1.1\r\nhost: x\r\n"
            f"authorization: Bearer {TOKEN}\r\ncontent-type: application/x-ndjson\r\n"
            f"content-length: {len(sent) + 100}\r\n\r\n"
        ).encode()
        with socket.create_connection(("127.0.0.1", rig.gateway.http_port)) as client:
            client.sendall(head + sent)
            while not rig.staged():
                await asyncio.sleep(0.01)
        while rig.staged():
            await asyncio.sleep(0.01)
        assert rig.link.calls.count("discard") == 1

    @pytest.mark.parametrize(
        ("sent", "text"),
        [
            ({"rows": []}, "header is no object"),
            ({"header": {"name": "x"}, "rows": {}}, "rows is no list"),
            ({"header": {}, "rows": [], "row": 1}, "has 'row': it has header and rows only"),
            (body() | {"rows": [{"fields": {"prompt": 1}}]}, "row 1 is no Row"),
            (body() | {"rows": [{}, {"cells": {}}]}, "row 2 is no Row"),
        ],
    )
    async def test_a_body_that_is_none_says_where(
        self, rig: Rig, sent: dict[str, Any], text: str
    ) -> None:
        status, reason, message = told(await rig.post("BatchService/Submit", sent))
        assert (status, reason) == (400, "BAD_REQUEST")
        assert text in message

    @pytest.mark.parametrize(
        ("sent", "text"),
        [
            (b"", "there is no header"),
            (b'{"fields": {}}', "line 1 is no SubmitRequest"),
            (b'{"header": {"name": "x", "requestId": "r"}}\n{"fields":\n', "row 1 is no JSON"),
            (b"\xff\n", "line 1 is not UTF-8"),
        ],
    )
    async def test_a_line_that_is_none_says_which(self, rig: Rig, sent: bytes, text: str) -> None:
        status, _, message = told(await rig.post("BatchService/Submit", sent, **NDJSON))
        assert status == 400
        if sent:
            assert text in message


class TestWatch:
    async def test_lines_and_server_sent_events_tell_the_same(self, rig: Rig) -> None:
        await rig.submit("a", "b")
        await rig.post("BatchService/Cancel", {"requestId": "c", "batchId": "shots"})
        asked = {"batchId": "shots", "untilEnded": True}
        as_lines = events_of(await rig.post("BatchService/Watch", asked))
        seen = as_lines[1]["sequence"]
        answer = await rig.post(
            "BatchService/Watch", asked, accept="text/event-stream", last_event_id=seen
        )
        blocks = [block.split("\n") for block in answer.data.decode().strip().split("\n\n")]
        assert [block[0] for block in blocks] == [f"id: {e['sequence']}" for e in as_lines[2:]]
        assert [json.loads(block[1].removeprefix("data: ")) for block in blocks] == as_lines[2:]
        rest = await rig.post("BatchService/Watch", {**asked, "afterSequence": seen})
        assert events_of(rest) == as_lines[2:]

    async def test_a_stream_that_fails_says_so_in_its_last_line(self, rig: Rig) -> None:
        await rig.submit("a")
        watching = asyncio.create_task(rig.post("BatchService/Watch", {"batchId": "shots"}))
        while not rig.gateway._batches._watchers:
            await asyncio.sleep(0.01)
        await rig.gateway.stop(1.0)
        events = events_of(await watching)
        assert [event.get("kind") for event in events] == ["submit", "submit", None]
        assert events[-1]["error"]["details"][0]["reason"] == "GATEWAY_STOPPING"

    async def test_a_client_that_leaves_is_no_watcher_any_more(self, rig: Rig) -> None:
        await rig.submit("a")
        asked = b'{"batchId": "shots"}'
        head = (
            "POST /v1/BatchService/Watch HTTP/1.1\r\nhost: x\r\n"
            f"authorization: Bearer {TOKEN}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(asked)}\r\n\r\n"
        ).encode()
        with socket.create_connection(("127.0.0.1", rig.gateway.http_port)) as client:
            client.sendall(head + asked)
            while not rig.gateway._batches._watchers:
                await asyncio.sleep(0.01)
        while rig.gateway._batches._watchers:
            await asyncio.sleep(0.01)

    async def test_too_many_watchers(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, limits=Limits(watchers_max=0))
        await rig.restart_gateway()
        answer = await rig.post("BatchService/Watch", {"batchId": "shots"})
        assert told(answer)[:2] == (429, "GATEWAY_BUSY")
        assert answer.headers["retry-after"] == "1"

    async def test_an_event_that_is_none(self, rig: Rig) -> None:
        answer = await rig.post("BatchService/Watch", {"batchId": "x"}, last_event_id="-3")
        assert told(answer)[:2] == (400, "BAD_REQUEST")


class TestRefused:
    @pytest.mark.parametrize("token", ["", "no", TOKEN + "x"])
    async def test_a_wrong_token(self, rig: Rig, token: str) -> None:
        answer = await rig.post("BatchService/List", {}, token)
        status, reason, message = told(answer)
        assert (status, reason) == (401, "UNAUTHENTICATED")
        assert "send `authorization: Bearer TOKEN`" in message
        assert answer.headers["www-authenticate"] == "Bearer"

    async def test_no_token(self, rig: Rig) -> None:
        url = f"http://127.0.0.1:{rig.gateway.http_port}/v1/BatchService/List?token={TOKEN}"
        answer = await asyncio.to_thread(urllib3.request, "POST", url, json={}, retries=False)
        assert answer.status == 401

    @pytest.mark.parametrize(
        ("sent", "text"),
        [
            (b"", "is no JSON"),
            (b"{", "is no JSON"),
            (b"[]", "is no JSON object"),
            (b"\xff", "is not UTF-8"),
            (b'{"batchId": "a", "batchId": "b"}', "'batchId' is there twice"),
            (b'{"batchId": 1}', "is no GetRequest"),
            (b'{"batchId": "\\ud800"}', "is no GetRequest"),
            (b'{"batch": "x"}', 'has no field named "batch"'),
            (b'{"batchId": ' + b"[" * 20_000, "is no JSON"),
        ],
    )
    async def test_a_body_that_cannot_be_one(self, rig: Rig, sent: bytes, text: str) -> None:
        status, reason, message = told(await rig.post("BatchService/Get", sent))
        assert (status, reason) == (400, "BAD_REQUEST")
        assert text in message
        assert len(message) < 500

    async def test_the_errors_of_calls_keep_their_reasons(self, rig: Rig) -> None:
        missing = await rig.post("BatchService/Get", {"batchId": "nothing"})
        assert told(missing)[:2] == (404, "NOT_FOUND")
        await rig.submit("a", request_id="r")
        conflict = await rig.post(
            "BatchService/Submit", body() | {"header": {"requestId": "r", "name": "x"}}
        )
        assert told(conflict)[:2] == (400, "REQUEST_CONFLICT")
        rig.link.is_down = True
        away = await rig.post("FleetService/GetFleet", {})
        assert told(away)[:2] == (503, "COORDINATOR_UNAVAILABLE")
        assert away.headers["retry-after"] == "1"

    async def test_other_types_of_content(self, rig: Rig) -> None:
        for headers in (
            {"content_type": "text/plain"},
            {"content_type": "application/x-ndjson"},
            {"content_encoding": "gzip"},
        ):
            status, reason, message = told(await rig.post("BatchService/List", {}, **headers))
            assert (status, reason) == (415, "UNSUPPORTED_MEDIA_TYPE")
            assert "send" in message

    async def test_other_methods_and_paths(self, rig: Rig) -> None:
        url = f"http://127.0.0.1:{rig.gateway.http_port}"

        def ask(method: str, path: str) -> urllib3.BaseHTTPResponse:
            return urllib3.request(method, url + path, retries=False)

        answer = await asyncio.to_thread(ask, "GET", "/v1/BatchService/List")
        assert told(answer)[:2] == (405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] == "POST"
        assert told(await asyncio.to_thread(ask, "GET", "/v1/nothing"))[0] == 404
        assert (await asyncio.to_thread(ask, "POST", "/metrics")).status == 405
        assert (await asyncio.to_thread(ask, "GET", "/metrics/")).status == 404

    async def test_a_body_above_the_limit(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, limits=Limits(message_bytes_max=1000))
        await rig.restart_gateway()
        status, reason, message = told(await rig.post("BatchService/Submit", body(rows=50)))
        assert (status, reason) == (413, "BODY_TOO_LARGE")
        assert "application/x-ndjson" in message
        assert (await rig.post("BatchService/Submit", lines(rows=50), **NDJSON)).status == 200

    async def test_a_line_above_the_limit(self, rig: Rig) -> None:
        endless = lines() + b'\n{"fields": {"prompt": "' + b"a" * 300_000
        assert told(await rig.post("BatchService/Submit", endless, **NDJSON))[0] == 413

    @pytest.mark.parametrize("seconds", ["0", "-1", "601", "soon", "nan", "inf"])
    async def test_a_deadline_that_is_none(self, rig: Rig, seconds: str) -> None:
        answer = await rig.post("BatchService/List", {}, heliostat_timeout=seconds)
        assert told(answer)[:2] == (400, "BAD_REQUEST")

    async def test_a_deadline_that_passes(self, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
        async def for_ever() -> None:
            await asyncio.Event().wait()

        monkeypatch.setattr(rig.gateway._desk.fleet, "get", for_ever)
        answer = await rig.post("FleetService/GetFleet", {}, heliostat_timeout="0.05")
        assert told(answer)[:2] == (504, "DEADLINE_EXCEEDED")

    async def test_more_calls_than_the_limit(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, limits=Limits(json_calls_max=0))
        await rig.restart_gateway()
        assert told(await rig.post("BatchService/List", {}))[:2] == (429, "GATEWAY_BUSY")

    async def test_what_nobody_foresaw_is_told_to_the_log_alone(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        monkeypatch.setattr(rig.gateway._desk, "ledger", None)
        answer = await rig.post("BatchService/Get", {"batchId": "a secret prompt"})
        assert told(answer) == (500, "INTERNAL", "the gateway failed; its log says why")
        assert any(record.exc_info for record in caplog.records)

    async def test_nothing_is_logged_of_a_call(
        self, rig: Rig, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        await rig.post("BatchService/Submit", body())
        await rig.post("BatchService/Get", {"batchId": "nothing"})
        said = " ".join(
            record.getMessage() for record in caplog.records if "urllib3" not in record.name
        )
        assert TOKEN not in said
        assert "shot 1" not in said


class TestBrowsers:
    async def preflight(self, rig: Rig, origin: str) -> urllib3.BaseHTTPResponse:
        url = f"http://127.0.0.1:{rig.gateway.http_port}/v1/BatchService/List"
        headers = {
            "origin": origin,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
        }
        return await asyncio.to_thread(
            urllib3.request, "OPTIONS", url, headers=headers, retries=False
        )

    async def test_no_page_of_another_origin_may_call(self, rig: Rig) -> None:
        assert (await self.preflight(rig, "https://tools.example")).status == 405
        answer = await rig.post("BatchService/List", {}, origin="https://tools.example")
        assert "access-control-allow-origin" not in answer.headers

    async def test_those_of_named_origins_may(self, rig: Rig) -> None:
        rig.settings = replace(rig.settings, cors_origins=("https://tools.example",))
        await rig.restart_gateway()
        allowed = await self.preflight(rig, "https://tools.example")
        assert allowed.status == 200
        assert allowed.headers["access-control-allow-origin"] == "https://tools.example"
        assert "authorization" in allowed.headers["access-control-allow-headers"].lower()
        assert (await self.preflight(rig, "https://others.example")).status == 400
        answer = await rig.post("BatchService/List", {}, origin="https://tools.example")
        assert answer.headers["access-control-allow-origin"] == "https://tools.example"
