"""One cause, one page: the example's routes and inhibitions in a real Alertmanager."""

from __future__ import annotations

import json
import queue
import re
import subprocess
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import require_program
from tests.fixtures.alert_rules import PROMETHEUS, alerts, cases
from tests.fixtures.object_store import free_base_port

SECONDS_MAX = 30
Labels = dict[str, str]


def tries() -> Iterator[None]:
    """Ten a second, for as long as anything may take."""
    wait = threading.Event()
    for _ in range(SECONDS_MAX * 10):
        yield
        wait.wait(0.1)


class Receivers:
    """Hears what an Alertmanager sends: names of receivers and the labels of the alerts."""

    def __init__(self) -> None:
        heard: queue.Queue[tuple[str, list[Labels]]] = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                said = json.loads(self.rfile.read(int(self.headers["content-length"])))
                heard.put((said["receiver"], [each["labels"] for each in said["alerts"]]))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self.heard = heard
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def until(self, receiver: str, alertname: str) -> list[tuple[str, list[Labels]]]:
        """All that comes, to the first message of an alert to a receiver."""
        found = []
        while True:
            found.append(self.heard.get(timeout=SECONDS_MAX))
            if found[-1][0] == receiver and found[-1][1][0]["alertname"] == alertname:
                return found


class Alertmanager:
    def __init__(self, url: str, receivers: Receivers) -> None:
        self.url = url
        self.receivers = receivers

    def call(self, path: str, body: Any = None) -> Any:
        request = urllib.request.Request(
            f"{self.url}{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS_MAX) as answer:
            return json.loads(answer.read() or b"null") if path.startswith("/api") else None

    def fire(self, *labels: Labels) -> None:
        now = datetime.now(UTC).isoformat()
        self.call("/api/v2/alerts", [{"labels": each, "startsAt": now} for each in labels])

    def told(self, expected: set[str]) -> set[str]:
        """Of what fires, the names of what nothing inhibits, once that is as expected."""
        found: set[str] = set()
        for _ in tries():
            active = self.call("/api/v2/alerts?active=true&inhibited=false&silenced=false")
            found = {each["labels"]["alertname"] for each in active}
            if found == expected:
                break
        return found


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[Alertmanager]:
    program = require_program("prometheus-alertmanager")
    receivers = Receivers()
    said = yaml.safe_load((PROMETHEUS / "alertmanager.yml").read_text())
    for route in (said["route"], *said["route"]["routes"]):
        route["group_wait"] = "1s"
    for receiver in said["receivers"]:
        (hook,) = receiver["webhook_configs"]
        hook["url"] = f"http://127.0.0.1:{receivers.server.server_port}/"
    (tmp_path / "alertmanager.yml").write_text(yaml.safe_dump(said))
    address = f"127.0.0.1:{free_base_port(1)}"
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "--config.file=alertmanager.yml", "--storage.path=data",
             f"--web.listen-address={address}", "--cluster.listen-address="],
            cwd=tmp_path, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        found = Alertmanager(f"http://{address}", receivers)
        _wait_until_ready(found, process, tmp_path / "log")
        yield found
    finally:
        process.kill()
        process.wait()
        receivers.server.shutdown()
        receivers.server.server_close()


def _wait_until_ready(
    alertmanager: Alertmanager, process: subprocess.Popen[bytes], log: Path
) -> None:
    for _ in tries():
        assert process.poll() is None, log.read_text()
        try:
            return alertmanager.call("/-/ready")
        except (urllib.error.URLError, ConnectionError):
            continue
    raise AssertionError(log.read_text())


def test_the_example_is_valid():
    subprocess.run(
        [require_program("amtool"), "check-config", "alertmanager.yml"],
        cwd=PROMETHEUS, check=True, capture_output=True,
    )  # fmt: skip


def labels_of(name: str, **more: str) -> Labels:
    return {"alertname": name, **alerts()[name]["labels"], **more}


def what_a_dead_switch_fires() -> list[Labels]:
    """By `promtool test rules tests/switch.yml`, which proves that the rules fire just these."""
    (case,) = (case for case in cases() if case["name"].startswith("a switch dies"))
    samples = case["promql_expr_test"][0]["exp_samples"]
    found = [dict(re.findall(r'(\w+)="([^"]*)"', each["labels"])) for each in samples]
    return [{k: v for k, v in each.items() if k != "alertstate"} for each in found]


def test_a_dead_switch_with_sixteen_nodes_sends_one_page(alertmanager: Alertmanager):
    fired = what_a_dead_switch_fires()
    assert sum(each["alertname"] == "HeliostatNodeDown" for each in fired) == 17
    alertmanager.fire(*fired)
    heard = alertmanager.receivers.until("pager", "HeliostatRackDown")
    # Whatever else would be sent of these waits no longer than this one, which comes later.
    alertmanager.fire(labels_of("HeliostatStorageErrors", operation="verify"))
    heard += alertmanager.receivers.until("tickets", "HeliostatStorageErrors")

    pages = [labels for receiver, labels in heard if receiver == "pager"]
    assert [[each["alertname"] for each in page] for page in pages] == [["HeliostatRackDown"]]
    tickets = [each for receiver, labels in heard if receiver == "tickets" for each in labels]
    # And the node of another rack, which has been down for long.
    assert {(each["alertname"], each.get("hostname")) for each in tickets} == {
        ("HeliostatNodeDown", "gpu18"),
        ("HeliostatStorageErrors", None),
    }
    assert ("watchdog", "HeliostatWatchdog") in [(r, each[0]["alertname"]) for r, each in heard]


CARD = {"card": "c1", "hostname": "gpu01"}
FLEET = [
    labels_of("HeliostatFleetSlow"),
    labels_of("HeliostatNothingRecorded"),
    labels_of("HeliostatNothingDelivered"),
    labels_of("HeliostatDeadlineAtRisk", project="p"),
    labels_of("HeliostatQueueOld", project="p"),
    labels_of("HeliostatWasteHigh"),
]
CARDS = [
    labels_of("HeliostatCardLost", **CARD, rack="r1"),
    labels_of("HeliostatNodeDown", hostname="gpu01", rack="r1"),
    labels_of("HeliostatClockSkew", hostname="gpu01", rack="r1"),
]
BUDGET = labels_of("HeliostatBudgetNear", project="p")


@pytest.mark.parametrize(
    ("fired", "told"),
    [
        (
            [
                labels_of("HeliostatCoordinatorDown"),
                labels_of("HeliostatRackDown", rack="r1"),
                labels_of("HeliostatExchangesFailing", instance="g1"),
                labels_of("HeliostatCoordinatorRestartLoop"),
                labels_of("HeliostatGatewayDown", instance="g2"),
                labels_of("HeliostatLedgerDiskLow"),
                *CARDS,
                *FLEET,
                BUDGET,
            ],
            {"HeliostatCoordinatorDown", "HeliostatGatewayDown", "HeliostatLedgerDiskLow"},
        ),
        (
            [
                labels_of("HeliostatMetricsAbsent"),
                labels_of("HeliostatGatewayDown", instance="g1"),
                labels_of("HeliostatCoordinatorDown"),
                labels_of("HeliostatWatchdog"),
                *CARDS,
                *FLEET,
            ],
            {"HeliostatMetricsAbsent", "HeliostatWatchdog"},
        ),
        (
            [
                labels_of("HeliostatRackDown", rack="r1"),
                labels_of("HeliostatCardLost", card="c9", hostname="gpu09", rack="r2"),
                labels_of("HeliostatCardHot", card="c8", hostname="gpu08"),
                *CARDS,
                *FLEET,
                BUDGET,
            ],
            {"HeliostatRackDown", "HeliostatCardLost", "HeliostatCardHot", "HeliostatBudgetNear"},
        ),
        (
            [
                labels_of("HeliostatNodeDown", hostname="gpu01"),
                labels_of("HeliostatCardLost", **CARD),
                labels_of("HeliostatSpoolLow", hostname="gpu01"),
                labels_of("HeliostatCardXid", card="c2", hostname="gpu02"),
            ],
            {"HeliostatNodeDown", "HeliostatCardXid"},
        ),
        (
            [
                labels_of("HeliostatCardHot", **CARD),
                labels_of("HeliostatCardThrottled", **CARD),
                labels_of("HeliostatCardSlow", card="c2", hostname="gpu01"),
            ],
            {"HeliostatCardHot", "HeliostatCardSlow"},
        ),
        (
            [
                labels_of("HeliostatCardLost", **CARD),
                labels_of("HeliostatCardXid", **CARD),
                labels_of("HeliostatCardNotReady", card="c2", hostname="gpu01"),
            ],
            {"HeliostatCardLost", "HeliostatCardNotReady"},
        ),
        (FLEET[:3], {"HeliostatNothingRecorded"}),
        (
            [
                labels_of("HeliostatBudgetReached", project="p"),
                BUDGET,
                labels_of("HeliostatLedgerDiskLow"),
                labels_of("HeliostatLedgerDiskFilling"),
            ],
            {"HeliostatBudgetReached", "HeliostatLedgerDiskLow"},
        ),
    ],
    ids=["coordinator", "metrics", "rack", "node", "heat", "card", "fleet", "worse"],
)
def test_what_follows_from_something_else_is_kept_quiet(
    alertmanager: Alertmanager, fired: list[Labels], told: set[str]
):
    alertmanager.fire(*fired)
    assert alertmanager.told(told) == told
