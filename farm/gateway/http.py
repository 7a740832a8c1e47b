"""The HTTP side: `/metrics` for Prometheus, `/healthz` for whoever wants to know that it runs."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import uvicorn
from prometheus_client import CollectorRegistry

from farm.domain.errors import FarmError
from farm.gateway.fleet_view import FleetView
from farm.gateway.metrics import CONTENT_TYPE, FleetCollector, page
from farm.gateway.settings import GatewaySettings
from farm.gateway.threads import Threads

_Message = MutableMapping[str, Any]
_Receive = Callable[[], Awaitable[_Message]]
_Send = Callable[[_Message], Awaitable[None]]

_log = logging.getLogger(__name__)

SCRAPE_SECONDS_MAX = 5.0
"""A scrape waits no longer for the coordinator; without it the gateway's own counters come."""


class Pages:
    """The ASGI application."""

    def __init__(
        self,
        registry: CollectorRegistry,
        collector: FleetCollector,
        fleet: FleetView,
        threads: Threads,
    ) -> None:
        self._registry = registry
        self._collector = collector
        self._fleet = fleet
        self._threads = threads
        self.serving = True
        """False while the gateway is being stopped."""

    async def __call__(self, scope: _Message, _receive: _Receive, send: _Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return
        if scope["method"] not in ("GET", "HEAD"):
            await _answer(send, 405, b"only GET\n")
        elif scope["path"] == "/metrics":
            await _answer(send, 200, await self._metrics(), CONTENT_TYPE)
        elif scope["path"] == "/healthz":
            await (_answer(send, 200, b"ok\n") if self.serving else _answer(send, 503, b"stops\n"))
        else:
            await _answer(send, 404, b"there are /metrics and /healthz\n")

    async def _metrics(self) -> bytes:
        try:
            async with asyncio.timeout(SCRAPE_SECONDS_MAX):
                self._collector.show(await self._fleet.get())
        except (TimeoutError, FarmError):
            self._collector.show(None)
        except Exception:  # noqa: BLE001 - a page of what is known is better than none
            _log.exception("the fleet cannot be read")
            self._collector.show(None)
        return await self._threads.run(page, self._registry)


class HttpServer(uvicorn.Server):
    """uvicorn as a part of this process: signals are whose process it is."""

    def __init__(self, app: Pages, sock: socket.socket, settings: GatewaySettings) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                lifespan="off",
                log_level="warning",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=2,
                log_config=None,
                ssl_keyfile=settings.tls_key,
                ssl_certfile=settings.tls_certificate,
            )
        )
        self._socket = sock
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield

    async def start(self) -> None:
        """Serve from now on."""
        self._task = asyncio.create_task(self.serve(sockets=[self._socket]))
        while not self.started:
            if self._task.done():
                await self._task
                raise RuntimeError("the HTTP server ended at its start")
            await asyncio.sleep(0.01)

    async def stop(self) -> None:
        """Let what is being answered be answered, then close."""
        self.should_exit = True
        if self._task is not None:
            await self._task
        self._socket.close()


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens on `host`:`port` (0 takes a free one). Raises OSError with both."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise OSError(
            error.errno, f"cannot listen on {host}:{port}: {error.strerror}; choose another port"
        ) from error
    sock.set_inheritable(False)
    return sock


async def _answer(
    send: _Send, status: int, body: bytes, content_type: str = "text/plain; charset=utf-8"
) -> None:
    headers = [(b"content-type", content_type.encode()), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
