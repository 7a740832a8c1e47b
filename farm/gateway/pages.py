"""What a gateway serves by HTTP: metrics, health, the page of economics, and the API by JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from farm.domain.errors import FarmError
from farm.gateway.economics_page import PATH, EconomicsPage
from farm.gateway.fleet_view import Fleet, FleetView
from farm.gateway.json_api import PREFIX, TIMEOUT_HEADER, JsonApi
from farm.gateway.json_errors import Refusal, failure
from farm.gateway.json_events import LAST_EVENT_HEADER
from farm.gateway.metrics import CONTENT_TYPE, FleetPage
from farm.gateway.threads import Threads

_log = logging.getLogger(__name__)

SCRAPE_SECONDS_MAX: Final = 5.0
"""A scrape waits no longer for the coordinator; without it the gateway's own counters come."""

OPENAPI: Final = Path(__file__).with_name("openapi.json")
"""Made of the .proto files by tools/openapi.py."""


class Pages:
    """The ASGI application."""

    def __init__(
        self,
        page: FleetPage,
        fleet: FleetView,
        threads: Threads,
        api: JsonApi,
        economics: EconomicsPage,
        origins: Sequence[str] = (),
    ) -> None:
        """`origins` are those whose pages browsers may let call the API."""
        self._page = page
        self._fleet = fleet
        self._threads = threads
        self._api = api
        self._openapi = OPENAPI.read_bytes()
        cors = Middleware(
            CORSMiddleware,
            allow_origins=list(origins),
            allow_methods=["GET", "POST"],
            allow_headers=["authorization", "content-type", LAST_EVENT_HEADER, TIMEOUT_HEADER],
            max_age=3600,
        )
        self._app = Starlette(
            routes=[
                Route("/metrics", self._metrics),
                Route("/healthz", self._healthz),
                Route(PATH, economics.answer),
                Route(f"{PREFIX}/openapi.json", self._document),
                *api.routes,
            ],
            middleware=[cors] if origins else [],
            exception_handlers={HTTPException: _not_served},
        )
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def stop_serving(self) -> None:
        """Say so to who asks, and take no more calls."""
        self._api.serving = False

    async def _healthz(self, _request: Request) -> Response:
        return PlainTextResponse("ok\n") if self._api.serving else PlainTextResponse("stops\n", 503)

    async def _document(self, _request: Request) -> Response:
        return Response(self._openapi, media_type="application/json")

    async def _metrics(self, _request: Request) -> Response:
        fleet: Fleet | None = None
        try:
            async with asyncio.timeout(SCRAPE_SECONDS_MAX):
                fleet = await self._fleet.get()
        except (TimeoutError, FarmError):
            pass
        except Exception:  # noqa: BLE001 - a page of what is known is better than none
            _log.exception("the fleet cannot be read")
        text = await self._threads.run(self._page.write, fleet)
        return Response(text, headers={"content-type": CONTENT_TYPE})


async def _not_served(request: Request, error: Any) -> Response:
    """No such path, or none with this method."""
    is_call = request.url.path.startswith(f"{PREFIX}/")
    allow = (error.headers or {}).get("Allow", "GET")
    if error.status_code == 405:
        text, reason = f"only {allow}", "METHOD_NOT_ALLOWED"
    else:
        text, reason = (
            f"there are /metrics, {PATH}, /healthz and {PREFIX}/openapi.json",
            "NO_SUCH_PATH",
        )
    if not is_call:
        return PlainTextResponse(text + "\n", error.status_code, error.headers)
    told = f"{text}: {PREFIX}/openapi.json lists all calls" if error.status_code == 405 else text
    response = failure(Refusal(reason, told))
    response.headers.update(error.headers or {})
    return response
