"""The page of economics: who may see it, and how it looks in a real browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from typer.testing import CliRunner

from farm.cli.app import app
from farm.cli.economics_view import values
from farm.client import Farm
from farm.client.economics import statement_of
from farm.gateway.settings import GatewaySettings
from farm.plan.economics import HELIOS
from farm.plan.money.scenario import Scenario
from tests.client.conftest import RunningFarm
from tests.fixtures.browser import chromium
from tests.fixtures.gateway import TOKEN
from tests.gateway.test_economics import join

SETTINGS = GatewaySettings(api_token=TOKEN, model=HELIOS["distilled"])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFarm]:
    """A farm with 62 cards that have not rendered yet."""
    running = RunningFarm(tmp_path_factory.mktemp("farm"), settings=SETTINGS)
    try:
        join(running.rig, 62, nodes=16)
        yield running
    finally:
        running.close()


@pytest.fixture
def empty(tmp_path: Path) -> Iterator[RunningFarm]:
    running = RunningFarm(tmp_path, settings=SETTINGS)
    try:
        yield running
    finally:
        running.close()


def url(farm: RunningFarm, query: str = "") -> str:
    return f"http://127.0.0.1:{farm.rig.gateway.http_port}/economics{query}"


def get(farm: RunningFarm, query: str = "", **headers: str) -> urllib3.BaseHTTPResponse:
    return urllib3.request("GET", url(farm, query), headers=headers, retries=False)


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


@pytest.mark.parametrize(
    "shown", ["", "Bearer wrong", basic("wrong"), "Basic !!!", "Basic", basic(f"{TOKEN}:")]
)
def test_without_the_token_a_browser_is_asked_for_it(served: RunningFarm, shown: str) -> None:
    answer = get(served, authorization=shown) if shown else get(served)
    assert answer.status == 401
    assert answer.headers["www-authenticate"].startswith("Basic realm=")
    assert b"H100" not in answer.data


@pytest.mark.parametrize("shown", [f"Bearer {TOKEN}", basic(TOKEN)])
def test_with_it_comes_a_page_that_runs_nothing_and_is_kept_nowhere(
    served: RunningFarm, shown: str
) -> None:
    answer = get(served, authorization=shown)
    assert answer.status == 200
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert answer.headers["cache-control"] == "no-store"
    assert b"<script" not in answer.data
    assert TOKEN.encode() not in answer.data


def test_the_password_does_not_open_the_api(served: RunningFarm) -> None:
    call = f"http://127.0.0.1:{served.rig.gateway.http_port}/v1/FleetService/GetEconomics"
    headers = {"authorization": basic(TOKEN), "content-type": "application/json"}
    answer = urllib3.request("POST", call, body=b"{}", headers=headers, retries=False)
    assert answer.status == 401


@pytest.mark.parametrize(
    ("query", "what"),
    [
        ("?tariff=cheap", "tariff &#39;cheap&#39; is no number"),
        ("?utilisation=300", "utilisation 3: give a part from 0.001"),
        ("?add=5", "want both a number and a type"),
        ("?add=1e999&type=h100", "is no number"),
        ("?price=h100", "is no price of a card"),
        ("?type=%3Cscript%3E&tariff=x", "&lt;script&gt;"),
    ],
)
def test_what_cannot_be_is_said_beside_the_farms_own_figures(
    served: RunningFarm, query: str, what: str
) -> None:
    answer = get(served, query, authorization=f"Bearer {TOKEN}")
    assert answer.status == 400
    assert what in answer.data.decode()
    assert "FPS with all cards at work" in answer.data.decode()


def test_while_the_coordinator_is_away_it_is_said(empty: RunningFarm) -> None:
    empty.rig.link.is_down = True
    answer = get(empty, authorization=f"Bearer {TOKEN}")
    assert answer.status == 503
    assert b"load this page again" in answer.data


def test_a_farm_without_cards_has_a_page_too(empty: RunningFarm) -> None:
    answer = get(empty, authorization=f"Bearer {TOKEN}")
    assert answer.status == 200
    assert "no card has joined" in answer.data.decode()


def test_the_command_and_the_sdk_tell_the_same_of_a_farm(
    served: RunningFarm, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HELIOSTAT_API_TOKEN", TOKEN)
    monkeypatch.setenv("HELIOSTAT_DATA_DIR", str(tmp_path))
    arguments = ["economics", "--endpoint", served.endpoint, "--add", "10", "rtx-4090", "--json"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)["tables"]
    with Farm(served.endpoint, TOKEN) as farm:
        told = statement_of(farm.economics(Scenario(add_cards=10, add_type="rtx-4090")))
    assert said == values(told)["tables"]
    assert said["fleet"]["cards"]["value"]["value"] == 62
    assert said["more"]["price_cards"]["added"]["value"] == 18_000


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_whole_in_a_browser(
    served: RunningFarm, browser: Any, scheme: str, width: int
) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800},
        color_scheme=scheme,
        http_credentials={"username": "", "password": TOKEN},
    )
    page, asked, said = context.new_page(), [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(url(served, "?add=10&type=rtx-4090"))
    assert set(asked) - {url(served, "?add=10&type=rtx-4090")} <= {
        f"http://127.0.0.1:{served.rig.gateway.http_port}/favicon.ico"
    }
    assert not [text for text in said if "favicon" not in text and "404" not in text]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    charts = page.locator("svg.chart")
    assert charts.count() >= 8
    for chart in charts.all():
        box = chart.bounding_box()
        assert box is not None
        assert 200 < box["width"] <= 420
        assert chart.locator("title").text_content()
    assert page.evaluate(OUTSIDE) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, ground[4:-1].split(","))) > 384) == (scheme == "light")
    context.close()


OUTSIDE = """
() => [...document.querySelectorAll("svg.chart text")]
  .filter(text => {
    const at = text.getBoundingClientRect(), svg = text.ownerSVGElement.getBoundingClientRect();
    return at.left < svg.left - 1 || at.right > svg.right + 1 || at.bottom > svg.bottom + 1;
  })
  .map(text => text.textContent)
"""
"""Labels of charts that stick out of them."""


def test_what_is_asked_by_the_form_is_reckoned(served: RunningFarm, browser: Any) -> None:
    context = browser.new_context(http_credentials={"username": "", "password": TOKEN})
    page = context.new_page()
    page.goto(url(served))
    assert page.locator("#more").count() == 0
    page.get_by_label("more cards").fill("10")
    page.get_by_label("of type").fill("rtx-4060-ti")
    page.get_by_role("button", name="Reckon").click()
    assert "10 rtx-4060-ti more" in page.locator("#more h2").inner_text()
    assert page.get_by_label("more cards").input_value() == "10"
    page.get_by_role("link", name="Back to the farm's own figures").click()
    assert page.locator("#more").count() == 0
    context.close()
