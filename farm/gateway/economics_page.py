"""`GET /economics`: what the fleet is worth, as a page for a browser.

It tells of money, so it wants the API's token, unlike /metrics: as `authorization: Bearer TOKEN`,
or as the password that a browser asks for (HTTP Basic, any user name). Its URL holds what is asked,
and no secret.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from farm.domain.errors import FarmError
from farm.gateway.auth import no_valid_token, shows_password, shows_token
from farm.gateway.desk import Desk
from farm.gateway.economics import reckoned
from farm.html import CSP
from farm.html.economics import Field, economics_page
from farm.plan.money.figure import Statement
from farm.plan.money.scenario import CLIP_SECONDS, Scenario
from farm.plan.tariff import parse_prices

_log = logging.getLogger(__name__)

PATH: Final = "/economics"
HEADERS: Final = {
    "content-security-policy": f"{CSP}; form-action 'self'; frame-ancestors 'none'",
    "cache-control": "no-store",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_FIELDS: Final = (
    ("add", "more cards", "10"),
    ("type", "of type", "rtx-4060-ti"),
    ("monthly", "generations a month", "the farm's own"),
    ("tariff", "price of a kWh", "0.17"),
    ("cloud", "a generation in a cloud", "4"),
    ("host", "price of a host", "350"),
    ("h100_hour", "a rented H100's hour", "2.50"),
    ("utilisation", "% of their time at work", "100"),
    ("seconds", "seconds in a generation", f"{CLIP_SECONDS:g}"),
    ("price", "prices of cards", "rtx-4060-ti=400"),
)
"""Name in the query, label, hint."""
_WORDS: Final = ("type", "price")


class EconomicsPage:
    """Answers with the page."""

    def __init__(self, desk: Desk, token: str) -> None:
        self._desk = desk
        self._token = token.encode()

    async def answer(self, request: Request) -> Response:
        """The page; 401, 400 or 503 with words where there is none."""
        shown = request.headers.get("authorization", "").encode()
        if not (shows_token(shown, self._token) or shows_password(shown, self._token)):
            ask = {"www-authenticate": 'Basic realm="heliostat: the API token is the password"'}
            return PlainTextResponse(f"{no_valid_token()}\n", 401, ask)
        query = {name: request.query_params.get(name, "").strip()[:200] for name, *_ in _FIELDS}
        asked, problems = scenario_of(query)
        problems = problems or asked.problems()
        try:
            told = await reckoned(self._desk, Scenario() if problems else asked)
        except FarmError as error:
            return PlainTextResponse(f"{error}: load this page again\n", 503, HEADERS)
        except Exception:  # noqa: BLE001 - the caller gets a status, the log the rest
            _log.exception("the page of economics failed")
            return PlainTextResponse("the gateway failed; its log says why\n", 500, HEADERS)
        text = await self._desk.threads.run(_page, told, query, "; ".join(problems))
        return HTMLResponse(text, 400 if problems else 200, HEADERS)


def scenario_of(query: Mapping[str, str]) -> tuple[Scenario, list[str]]:
    """What a query asks, and what in it is no number or price."""
    problems: list[str] = []

    def numeric(name: str) -> float | None:
        text = query.get(name, "")
        try:
            value = float(text) if text else None
        except ValueError:
            value = math.nan
        if value is not None and not math.isfinite(value):
            problems.append(f"{name} {text!r} is no number")
            return None
        return value

    add, utilisation, seconds = (numeric(name) for name in ("add", "utilisation", "seconds"))
    prices: dict[str, float] = {}
    try:
        prices = parse_prices(query.get("price", ""))
    except ValueError as bad:
        problems.append(str(bad))
    scenario = Scenario(
        add_cards=int(add or 0),
        add_type=query.get("type", "").lower() if add else "",
        electricity_price=numeric("tariff"),
        card_prices=prices,
        host_price=numeric("host"),
        cloud_price=numeric("cloud"),
        h100_hour_price=numeric("h100_hour"),
        utilisation=None if utilisation is None else utilisation / 100,
        monthly=numeric("monthly"),
        clip_seconds=CLIP_SECONDS if seconds is None else seconds,
    )
    return scenario, problems


def _page(told: Statement, query: Mapping[str, str], problem: str) -> str:
    form = [
        Field(name, label, query.get(name, ""), hint, numeric=name not in _WORDS)
        for name, label, hint in _FIELDS
    ]
    at = f"As of {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    return economics_page(told, form, at=at, problem=problem, asked=any(query.values()))
