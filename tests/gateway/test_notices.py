"""Notices reach whoever wants them, signed, once or again, and nobody waits for one that hangs."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import grpc.aio
import pytest
from prometheus_client import CollectorRegistry

from farm.gateway import webhook
from farm.gateway.notifier import GIVEN_UP_SECONDS, NoticeSettings, Notifier, pause_seconds
from farm.gateway.settings import GatewaySettings
from farm.gateway.threads import Threads
from heliostat.v1 import batch_service_pb2 as batch_pb
from tests.fixtures.gateway import TOKEN, Rig, reason_of

SECRET = "a-secret-for-tests-only"


class Listener:
    """A web server that notes what is posted, and answers as it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.hangs = threading.Event()
        self.hangs.set()
        self.has_end = True
        listener = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                listener.heard.append((headers, body))
                listener.hangs.wait(20)
                self.send_response(listener.status)
                self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0" if listener.has_end else "1000000000000")
                self.end_headers()
                with contextlib.suppress(OSError):
                    while not listener.has_end:
                        self.wfile.write(bytes(10_000))

            def log_message(self, *_args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}/heliostat?key=secret"

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for _, body in self.heard]

    def close(self) -> None:
        self.hangs.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def listener() -> Iterator[Listener]:
    with contextlib.closing(Listener()) as listener:
        yield listener


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[Rig]:
    """Its gateway's own notifier sleeps: tests take its steps."""
    asleep = NoticeSettings(step_seconds=3600)
    async with Rig(tmp_path, settings=GatewaySettings(api_token=TOKEN, notices=asleep)) as rig:
        yield rig


@asynccontextmanager
async def notifier(rig: Rig, **settings: Any) -> AsyncIterator[Notifier]:
    threads = Threads(2, "test")
    made = Notifier(
        NoticeSettings(secret=SECRET, **settings),
        rig.ledger,
        rig.link,
        threads,
        CollectorRegistry(),
        now=rig.clock.now,
    )
    yield made
    threads.close()


async def told(made: Notifier) -> None:
    """Everything that is due is sent, and what became of it is noted."""
    for _ in range(3):
        await made.step()
        await made.settle()


async def pause(rig: Rig, reason: str = "lunch") -> None:
    request = batch_pb.PauseRequest(request_id=f"pause {reason}", batch_id="shots", reason=reason)
    await rig.batches.Pause(request)


async def test_a_pause_is_told_as_a_signed_cloud_event(rig: Rig, listener: Listener) -> None:
    await rig.submit("a fox")
    await pause(rig)
    async with notifier(rig, webhook=listener.url) as made:
        await told(made)
        await told(made)
    ((headers, body),) = listener.heard
    event = json.loads(body)
    assert event["specversion"] == "1.0"
    assert event["type"] == "ai.heliostat.batch.paused"
    assert event["data"]["detail"] == "lunch"
    assert event["data"]["batch"]["state"] == "BATCH_STATE_PAUSED"
    assert event["subject"] == event["data"]["batch"]["batchId"]
    assert event["id"] == headers["webhook-id"]
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    digest = hmac.new(SECRET.encode(), signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(digest).decode()}"


async def test_a_batch_tells_its_own_webhook_and_keeps_it_to_itself(
    rig: Rig, listener: Listener
) -> None:
    await rig.submit("a fox")
    batch = rig.ledger.find_batch("shots")
    with rig.link.coordinator.books.transaction():
        rig.link.coordinator.books.decide(replace(batch, webhook=listener.url), "amend")
    await pause(rig)
    async with notifier(rig) as made:
        await told(made)
    (event,) = listener.events()
    assert event["type"].endswith("paused")
    assert "key=secret" not in json.dumps(event)


async def test_one_that_is_not_taken_is_sent_again_under_the_same_id(
    rig: Rig, listener: Listener
) -> None:
    await rig.submit("a fox")
    await pause(rig)
    listener.status = 500
    async with notifier(rig, webhook=listener.url) as made:
        await told(made)
        assert len(listener.heard) == 1
        await told(made)
        assert len(listener.heard) == 1, "not before its pause is over"
        listener.status = 204
        rig.clock.seconds += 10
        await told(made)
        rig.clock.seconds += 10_000
        await told(made)
    first, second = listener.heard
    assert first[0]["webhook-id"] == second[0]["webhook-id"]


async def test_redirects_are_not_followed_and_gone_is_for_good(
    rig: Rig, listener: Listener
) -> None:
    await rig.submit("a fox")
    await pause(rig)
    listener.status = 307
    async with notifier(rig, webhook=listener.url) as made:
        await told(made)
        assert len(listener.heard) == 1
        listener.status = 410
        rig.clock.seconds += 10
        await told(made)
        rig.clock.seconds += 10_000
        await told(made)
    assert len(listener.heard) == 2


async def test_one_that_cannot_be_told_is_given_up_after_a_day(
    rig: Rig, listener: Listener
) -> None:
    await rig.submit("a fox")
    await pause(rig)
    listener.status = 503
    async with notifier(rig, webhook=listener.url) as made:
        await told(made)
        rig.clock.seconds += GIVEN_UP_SECONDS + 1
        await told(made)
        rig.clock.seconds += GIVEN_UP_SECONDS
        await told(made)
    assert len(listener.heard) == 2


async def test_a_webhook_that_never_answers_keeps_nobody_waiting(
    rig: Rig, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "SECONDS_MAX", 1.0)
    await rig.submit("a fox")
    await pause(rig)
    listener.hangs.clear()
    async with notifier(rig, webhook=listener.url) as made:
        await made.step()
        await rig.batches.Resume(batch_pb.ResumeRequest(request_id="go on", batch_id="shots"))
        async with asyncio.timeout(10):
            await made.settle()
        listener.hangs.set()
        rig.clock.seconds += 10
        await told(made)
    kinds = [event["type"].rpartition(".")[2] for event in listener.events()]
    assert sorted(kinds) == ["paused", "paused", "resumed"]


async def test_a_batchs_webhook_that_never_answers_is_tried_again_and_the_others_hear(
    rig: Rig, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "SECONDS_MAX", 0.5)
    with contextlib.closing(Listener()) as silent:
        silent.hangs.clear()
        answer = await rig.submit("a fox", webhook=silent.url)
        assert answer.batch.webhook == silent.url
        await pause(rig)
        async with notifier(rig, webhook=listener.url) as made:
            await told(made)
            assert (len(silent.heard), len(listener.heard)) == (1, 1)
            silent.hangs.set()
            rig.clock.seconds += 10
            await told(made)
        assert (len(silent.heard), len(listener.heard)) == (2, 1)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://house.example/hook", "file:/notices.json", "javascript:alert(1)", "http://",
        "house.example/hook", "https://ann:secret@house.example/", "https://house.example/a b",
        "https://house.example/" + "h" * 2000,
    ],
)  # fmt: skip
async def test_what_is_no_address_of_the_web_is_refused_and_nothing_is_left(
    rig: Rig, url: str
) -> None:
    (problem,) = (await rig.submit("a fox", webhook=url, request_id="mine")).problems
    assert (problem.row, problem.column) == (0, "--webhook")
    assert rig.staged() == 0
    assert (await rig.submit("a fox", request_id="mine")).clips == 1
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await rig.batches.Amend(
            batch_pb.AmendRequest(request_id="a", batch_id="shots", priority=5, webhook=url)
        )
    assert reason_of(caught.value) == "BAD_DECISION"
    batch = rig.ledger.find_batch("shots")
    assert (batch.webhook, batch.priority) == ("", 0)


async def test_an_answer_without_an_end_is_not_read(rig: Rig, listener: Listener) -> None:
    await rig.submit("a fox")
    await pause(rig)
    listener.has_end, listener.status = False, 200
    async with notifier(rig, webhook=listener.url) as made, asyncio.timeout(30):
        await told(made)
    listener.has_end = True
    assert len(listener.heard) == 1


async def test_of_two_gateways_one_tells_and_a_dead_ones_notices_are_told_later(
    rig: Rig, listener: Listener
) -> None:
    await rig.submit("a fox")
    await pause(rig)
    handed_out = await rig.link.notices([])
    assert len(handed_out) == 1
    async with notifier(rig, webhook=listener.url) as made:
        await told(made)
        assert not listener.heard, "another gateway has it"
        rig.clock.seconds += 121
        await told(made)
    assert len(listener.heard) == 1


async def test_notices_outlive_a_restart_of_the_coordinator(rig: Rig, listener: Listener) -> None:
    await rig.submit("a fox")
    await pause(rig)
    await rig.link.notices([])
    rig.link.coordinator = type(rig.link.coordinator)(rig.store, rig.clock)
    async with notifier(rig, webhook=listener.url) as made:
        await told(made)
    assert len(listener.heard) == 1


async def test_a_hook_gets_the_event_and_no_secret(
    rig: Rig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HELIOSTAT_API_TOKEN", "must-not-be-passed-on")
    await rig.submit("a fox")
    await pause(rig)
    script = tmp_path / "hook.sh"
    script.write_text(f'#!/bin/sh\ncat > {tmp_path}/event.json\nenv > "$1"\n')
    script.chmod(0o755)
    async with notifier(rig, hook=(str(script), f"{tmp_path}/its environment")) as made:
        await told(made)
    event = json.loads((tmp_path / "event.json").read_text())
    assert event["type"] == "ai.heliostat.batch.paused"
    environment = (tmp_path / "its environment").read_text()
    assert f"HELIOSTAT_EVENT_ID={event['id']}" in environment
    assert "must-not-be-passed-on" not in environment


async def test_a_hook_that_fails_is_run_again(rig: Rig, tmp_path: Path) -> None:
    await rig.submit("a fox")
    await pause(rig)
    script = tmp_path / "hook.sh"
    script.write_text(f"#!/bin/sh\necho run >> {tmp_path}/runs\ntest -e {tmp_path}/mended\n")
    script.chmod(0o755)
    async with notifier(rig, hook=(str(script),)) as made:
        await told(made)
        (tmp_path / "mended").touch()
        rig.clock.seconds += 10
        await told(made)
        rig.clock.seconds += 10_000
        await told(made)
    assert (tmp_path / "runs").read_text().count("run") == 2


def test_pauses_between_tries_grow_to_an_hour() -> None:
    assert 4 <= pause_seconds(0) <= 6
    assert 16 <= pause_seconds(2) <= 24
    assert 2880 <= pause_seconds(50) <= 4320
